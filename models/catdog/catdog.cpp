#include "models/catdog/catdog.h"

namespace octet::models {

Graph catdog() {
  Graph graph("catdog");
  const EdgeId image = graph.input("image", Shape{3, 224, 224});
  graph.set_output(CatDog().forward(graph, image));
  graph.validate_structure();
  return graph;
}

}  // namespace octet::models
