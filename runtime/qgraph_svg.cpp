#include "runtime/qgraph_svg.h"

#include <fmt/format.h>
#include <algorithm>

#include "runtime/io/markup.h"

namespace octet {
namespace {

// Pixels.
constexpr int kBoxWidth = 290, kBoxHeight = 36, kPillWidth = 56, kColumn = 330, kRow = 78, kLane = 12, kMargin = 24;
constexpr int kTop = 70;  // below the title
constexpr std::size_t kNameLength = 42;

constexpr const char* kStyle =
    "<style>text{font-family:DejaVu Sans,Helvetica,Arial,sans-serif;font-size:11px;fill:#1c2733}"
    ".n{font-weight:bold}.s{font-size:9px;fill:#52616f}.t{font-size:16px;font-weight:bold}"
    ".i{fill:#d6e6fb;stroke:#2563a8}.f{fill:#fff;stroke:#8a939c}.q{fill:#fbe0b8;stroke:#b86e00}"
    ".ei{fill:none;stroke:#2563a8;stroke-width:2}.ef{fill:none;stroke:#8a939c;stroke-width:1.2}"
    ".b{font-size:9px;font-weight:bold;fill:#7a4a00;text-anchor:middle}.c{text-anchor:middle}</style>\n";

// The end of a long name tells more than its beginning.
std::string shortened(const std::string& name) {
  return name.size() <= kNameLength ? name : "..." + name.substr(name.size() - kNameLength + 3);
}

class Drawing {
 public:
  explicit Drawing(const QGraph& graph) : graph_(graph) {}

  std::string run() {
    place_nodes();
    assign_lanes();
    std::string edges, nodes = source();
    for (const Link& link : links_) edges += draw(link);
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) nodes += draw(i);
    const auto& output = graph_.edges[index(graph_.output)];
    nodes += fmt::format("<text class=\"c\" x=\"{}\" y=\"{}\">output {}</text>\n", centre(place_of(graph_.output)),
                         top(place_of(graph_.output)) + kBoxHeight + 20, output.shape.str());
    const int width = std::max(kMargin * 2 + columns_ * kColumn + lanes_ * kLane, 640);
    const int height = kTop + (rows_ + 1) * kRow;
    return fmt::format(
               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" viewBox=\"0 0 {} {}\">\n{}"
               "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
               width, height, width, height, kStyle) +
           title() + edges + nodes + "</svg>\n";
  }

 private:
  struct Place {
    int row = 0, column = 0;
  };
  struct Link {
    EdgeId edge;
    Place from, to;
    int lane = -1;  // -1: straight down to the next row
  };

  static std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }
  Place place_of(EdgeId edge) const { return place_[index(edge)]; }
  static int centre(const Place& p) { return kMargin + p.column * kColumn + kBoxWidth / 2; }
  static int top(const Place& p) { return kTop + p.row * kRow; }

  // Rows by the longest way from the input; a column is handed on from a layer to the first that reads it.
  void place_nodes() {
    place_.resize(graph_.edges.size());
    std::vector<std::vector<bool>> taken(graph_.nodes.size() + 2);
    const auto take = [&](Place p) {
      std::vector<bool>& row = taken[index(p.row)];
      const auto free = [&](int column) { return index(column) >= row.size() || !row[index(column)]; };
      if (!free(p.column)) {
        for (p.column = 0; !free(p.column);) ++p.column;
      }
      if (index(p.column) >= row.size()) row.resize(index(p.column) + 1);
      row[index(p.column)] = true;
      columns_ = std::max(columns_, p.column + 1), rows_ = std::max(rows_, p.row + 1);
      return p;
    };
    place_[index(graph_.input)] = take({0, 0});
    for (const QNode& node : graph_.nodes) {
      Place p{0, place_of(node.inputs[0]).column};
      for (const EdgeId input : node.inputs) p.row = std::max(p.row, place_of(input).row + 1);
      p = take(p);
      for (const EdgeId input : node.inputs) links_.push_back({input, place_of(input), p});
      place_[index(node.output)] = p;
    }
  }

  // Edges over several rows get lanes in which no other edge runs at the same height.
  void assign_lanes() {
    std::vector<int> busy_until;
    std::ranges::stable_sort(links_, {}, [](const Link& l) { return l.from.row; });
    for (Link& link : links_) {
      if (link.to.row == link.from.row + 1) continue;
      const auto free = std::ranges::find_if(busy_until, [&](int row) { return row <= link.from.row; });
      link.lane = static_cast<int>(free - busy_until.begin());
      if (free == busy_until.end()) busy_until.push_back(0);
      busy_until[index(link.lane)] = link.to.row;
    }
    lanes_ = static_cast<int>(busy_until.size());
  }

  std::string title() const {
    const auto count = [&](Precision p) {
      return std::ranges::count_if(graph_.nodes, [&](const QNode& n) {
        return n.op != Op::quantise && n.op != Op::dequantise && n.precision == p;
      });
    };
    return fmt::format(
        "<text class=\"t\" x=\"{0}\" y=\"28\">{1}</text>\n<text class=\"s\" x=\"{0}\" y=\"46\">{2} INT8 layers (blue), "
        "{3} float layers (white); thick lines carry integers, Q / DQ mark where they begin and end</text>\n",
        kMargin, markup_escaped(graph_.name), count(Precision::int8), count(Precision::fp32));
  }

  std::string source() const {
    const Place p = place_of(graph_.input);
    return fmt::format(
        "<rect class=\"f\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"18\"/><text class=\"c\" x=\"{}\" "
        "y=\"{}\">{} {}</text>\n",
        centre(p) - kBoxWidth / 2, top(p), kBoxWidth, kBoxHeight, centre(p), top(p) + 22,
        markup_escaped(shortened(graph_.edges[index(graph_.input)].name)),
        graph_.edges[index(graph_.input)].shape.str());
  }

  static std::string meaning(const QuantParams& q) {
    return fmt::format("step {:.6g}, zero {}, [{}, {}]{}", q.step, q.zero, q.lo, q.hi, q.dead ? ", dead" : "");
  }

  std::string draw(const Link& link) const {
    const char* style = graph_.edges[index(link.edge)].quantised ? "ei" : "ef";
    const int x1 = centre(link.from), y1 = top(link.from) + kBoxHeight, x2 = centre(link.to), y2 = top(link.to);
    const int out = y1 + 30;  // below the step of the layer that it leaves
    if (link.lane < 0) {
      return fmt::format("<path class=\"{}\" d=\"M{} {}V{}H{}V{}\"/>\n", style, x1, y1, out, x2, y2);
    }
    const int lane = kMargin + columns_ * kColumn + 20 + link.lane * kLane, in = y2 - 8;  // right of the last steps
    return fmt::format("<path class=\"{}\" d=\"M{} {}V{}H{}V{}H{}V{}\"/>\n", style, x1, y1, out, lane, in, x2, y2);
  }

  std::string draw(std::size_t node_index) const {
    const QNode& node = graph_.nodes[node_index];
    const QEdge& out = graph_.edges[index(node.output)];
    const Place p = place_of(node.output);
    const int x = centre(p), y = top(p);
    if (node.op == Op::quantise || node.op == Op::dequantise) {
      const bool to_integers = node.op == Op::quantise;
      const QuantParams& q = to_integers ? out.quant : graph_.edges[index(node.inputs[0])].quant;
      return fmt::format("<g><title>{}</title>", markup_escaped(node.name)) +
             pill(x, y + kBoxHeight / 2 - 9, to_integers ? "Q" : "DQ", meaning(q)) +
             // The line through the box's height that this pill does not fill.
             fmt::format("<path class=\"{}\" d=\"M{} {}V{}\"/><path class=\"{}\" d=\"M{} {}V{}\"/></g>\n",
                         to_integers ? "ef" : "ei", x, y, y + kBoxHeight / 2 - 9, to_integers ? "ei" : "ef", x,
                         y + kBoxHeight / 2 + 9, y + kBoxHeight);
    }
    std::string text = fmt::format(
        "<g><title>{}{}{}</title><rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"4\"/>"
        "<text class=\"n\" x=\"{}\" y=\"{}\">{}</text><text x=\"{}\" y=\"{}\">{}</text></g>\n",
        markup_escaped(node.name), node.why.empty() ? "" : ": float because ", markup_escaped(node.why),
        node.precision == Precision::int8 ? "i" : "f", x - kBoxWidth / 2, y, kBoxWidth, kBoxHeight,
        x - kBoxWidth / 2 + 8, y + 15, markup_escaped(shortened(node.name)), x - kBoxWidth / 2 + 8, y + 29,
        describe(node));
    if (out.quantised) text += pill(x, y + kBoxHeight + 5, "Q DQ", meaning(out.quant));
    return text;
  }

  static std::string pill(int x, int y, const char* text, const std::string& meaning) {
    return fmt::format(
        "<rect class=\"q\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"18\" rx=\"9\"/><text class=\"b\" x=\"{}\" "
        "y=\"{}\">{}</text><text class=\"s\" x=\"{}\" y=\"{}\">{}</text>",
        x - kPillWidth / 2, y, kPillWidth, x, y + 12, text, x + kPillWidth / 2 + 5, y + 12, meaning);
  }

  // "conv2d 3x3 /2 +relu, 64x32x3x3, to 64x112x112"
  std::string describe(const QNode& node) const {
    std::string text = name_of(node.op);
    const Window& w = node.window;
    if (w.kernel_h * w.kernel_w > 1) text += fmt::format(" {}x{}", w.kernel_h, w.kernel_w);
    if (w.stride_h * w.stride_w > 1) {
      text +=
          w.stride_h == w.stride_w ? fmt::format(" /{}", w.stride_h) : fmt::format(" /{}x{}", w.stride_h, w.stride_w);
    }
    if (node.groups > 1) text += fmt::format(" g{}", node.groups);
    if (node.activation != Activation::none) text += fmt::format(" +{}", name_of(node.activation));
    return text + " to " + graph_.edges[index(node.output)].shape.str();
  }

  const QGraph& graph_;
  std::vector<Place> place_;  // by edge: of the node that makes it
  std::vector<Link> links_;
  int columns_ = 1, rows_ = 1, lanes_ = 0;
};

}  // namespace

std::string to_svg(const QGraph& graph) { return Drawing(graph).run(); }

}  // namespace octet
