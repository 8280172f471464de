// The overlap of two rectangles that lie anywhere in the plane: what rotated non-maximum suppression compares. Plain,
// for host and device, and the same bits on both: double arithmetic, nothing fused (rule 14).
//
//     IoU(a, b) = |a and b| / (|a| + |b| - |a and b|)
//
// The intersection is exact up to roundings: the corners of `a` are expressed in the frame of `b`, where `b` is the box
// |u| <= du / 2, |v| <= dv / 2; the quadrilateral is cut by its four sides in turn (Sutherland and Hodgman 1974), which
// leaves a convex polygon of at most 8 corners, and the shoelace formula gives its area.
#pragma once

#include "runtime/real_functions.h"

namespace octet {

// A rectangle of du x dv around (x, y), its side du turned counter-clockwise from the x axis by `heading`. Metres,
// radians.
struct BevBox {
  double x = 0, y = 0, du = 0, dv = 0;
  double sine = 0, cosine = 1;  // of the heading

  // `heading` in radians.
  OCTET_REAL_HD BevBox of(double x, double y, double du, double dv, double heading) {
    const real::SineCosine turn = real::sine_cosine(heading);
    return {x, y, du, dv, turn.sine, turn.cosine};
  }
};

struct ConvexPolygon {  // counter-clockwise; metres
  static constexpr int kMost = 8;
  double u[kMost] = {}, v[kMost] = {};
  int corners = 0;
};

// The part of `polygon` with sign * coordinate <= limit, the coordinate being u (axis 0) or v (axis 1).
OCTET_REAL_HD ConvexPolygon cut(const ConvexPolygon& polygon, int axis, double sign, double limit) {
  ConvexPolygon kept;
  for (int i = 0; i < polygon.corners; ++i) {
    const int next = i + 1 < polygon.corners ? i + 1 : 0;
    const double a = sign * (axis == 0 ? polygon.u[i] : polygon.v[i]) - limit;
    const double b = sign * (axis == 0 ? polygon.u[next] : polygon.v[next]) - limit;
    if (a <= 0 && kept.corners < ConvexPolygon::kMost) {
      kept.u[kept.corners] = polygon.u[i], kept.v[kept.corners] = polygon.v[i], ++kept.corners;
    }
    if ((a < 0 && b > 0) || (a > 0 && b < 0)) {
      const double t = a / (a - b);  // where the side is crossed; a and b differ in sign, so nothing cancels
      if (kept.corners == ConvexPolygon::kMost) continue;  // roundings cannot make a ninth corner matter
      kept.u[kept.corners] = polygon.u[i] + t * (polygon.u[next] - polygon.u[i]);
      kept.v[kept.corners] = polygon.v[i] + t * (polygon.v[next] - polygon.v[i]);
      ++kept.corners;
    }
  }
  return kept;
}

OCTET_REAL_HD double intersection_area(const BevBox& a, const BevBox& b) {
  // The centre and the half sides of `a` in the frame of `b`.
  const double dx = a.x - b.x, dy = a.y - b.y;
  const double cu = dx * b.cosine + dy * b.sine, cv = dy * b.cosine - dx * b.sine;
  const double cosine = a.cosine * b.cosine + a.sine * b.sine, sine = a.sine * b.cosine - a.cosine * b.sine;
  const double pu = a.du / 2 * cosine, pv = a.du / 2 * sine, qu = -a.dv / 2 * sine, qv = a.dv / 2 * cosine;
  ConvexPolygon polygon;
  polygon.corners = 4;
  for (int i = 0; i < 4; ++i) {  // counter-clockwise
    const double along = i == 0 || i == 3 ? 1.0 : -1.0, across = i < 2 ? 1.0 : -1.0;
    polygon.u[i] = cu + along * pu + across * qu;
    polygon.v[i] = cv + along * pv + across * qv;
  }
  for (int axis = 0; axis < 2; ++axis) {
    const double half = (axis == 0 ? b.du : b.dv) / 2;
    polygon = cut(cut(polygon, axis, 1.0, half), axis, -1.0, half);
  }
  double twice = 0;
  for (int i = 0; i < polygon.corners; ++i) {
    const int next = i + 1 < polygon.corners ? i + 1 : 0;
    twice += polygon.u[i] * polygon.v[next] - polygon.u[next] * polygon.v[i];
  }
  return twice > 0 ? twice / 2 : 0.0;
}

// 0 where one of the boxes has no area. (Boxes whose circumscribed circles do not meet cannot overlap: no clipping.)
OCTET_REAL_HD double overlap(const BevBox& a, const BevBox& b) {
  const double area_a = a.du * a.dv, area_b = b.du * b.dv;
  if (!(a.du > 0 && a.dv > 0 && b.du > 0 && b.dv > 0)) return 0.0;
  const double dx = a.x - b.x, dy = a.y - b.y;
  const double square_a = a.du * a.du + a.dv * a.dv, square_b = b.du * b.du + b.dv * b.dv;
  if (2 * (dx * dx + dy * dy) > square_a + square_b) {  // (r_a + r_b)^2 <= 2 (r_a^2 + r_b^2), a quarter of the squares
    return 0.0;
  }
  const double shared = intersection_area(a, b);
  return shared / (area_a + area_b - shared);
}

}  // namespace octet
