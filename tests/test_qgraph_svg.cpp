// The picture of a network: well-formed, one box a layer, Q and DQ where integers begin and end.
#include <doctest/doctest.h>

#include "runtime/qgraph_svg.h"
#include "tests/program_graphs.h"

using namespace octet;
using namespace octet::test;

namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

// Whether every element that opens also closes, in order.
bool well_formed(const std::string& svg) {
  std::vector<std::string> open;
  for (std::size_t at = svg.find('<'); at != std::string::npos; at = svg.find('<', at + 1)) {
    const std::size_t end = svg.find('>', at);
    if (end == std::string::npos) return false;
    const std::string tag = svg.substr(at + 1, end - at - 1);
    const std::string name = tag.substr(tag[0] == '/', tag.find_first_of(" /", 1) - (tag[0] == '/'));
    if (tag[0] == '/') {
      if (open.empty() || open.back() != tag.substr(1)) return false;
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(name);
    }
  }
  return open.empty();
}

}  // namespace

TEST_CASE("every layer is drawn, integers apart from floats, and nothing is referred to that is not in the file") {
  for (const auto make : {chain, residuals, concats, resampled}) {
    const QGraph network = quantised(make(), calib::Scheme::affine).graph;
    const std::string svg = to_svg(network);
    CHECK_MESSAGE(well_formed(svg), network.name);
    std::size_t integers = 0, quantised_edges = 0;
    for (const QNode& node : network.nodes) {
      const bool layer = node.op != Op::quantise && node.op != Op::dequantise;
      CHECK_MESSAGE(count(svg, "<title>" + node.name) >= 1, node.name);
      integers += layer && node.precision == Precision::int8;
      quantised_edges += network.edges[static_cast<std::size_t>(node.output)].quantised && layer;
    }
    CHECK(count(svg, "<rect class=\"i\"") == integers);
    CHECK(count(svg, ">Q DQ<") == quantised_edges);
    CHECK(count(svg, ">Q<") == 1);
    CHECK(count(svg, "href") == 0);
    CHECK(count(svg, "http") == 1);  // the name space
  }
}

TEST_CASE("names of strangers are text, whatever they hold") {
  QGraph network = quantised(chain(), calib::Scheme::symmetric).graph;
  network.nodes[1].name = "<script>&\"\x01\xff" + std::string(300, 'x');
  network.name = "a<b>c";
  const std::string svg = to_svg(network);
  CHECK(well_formed(svg));
  CHECK(count(svg, "<script") == 0);
  CHECK(svg.find('\x01') == std::string::npos);
  CHECK(svg.find('\xff') == std::string::npos);
}
