// .octet files: a QGraph, ready to be planned and run without the float weights it came from.
//
// The container is safetensors (any safetensors reader can list the tensors); the network itself is JSON under the
// metadata key "octet". Tensors: NODE.weight (I8, or F32 for layers left in float), NODE.bias (I32 or F32),
// NODE.weight_step (F32, one per output channel) and NODE.table (U8, rule 12). Loading and running gives the same bytes
// as the QGraph that was saved.
#pragma once

#include <filesystem>
#include <vector>

#include "runtime/qgraph.h"

namespace octet {

// The whole file in memory; equal graphs give equal bytes.
std::vector<std::byte> octet_file_bytes(const QGraph& graph);
void save_octet_file(const QGraph& graph, const std::filesystem::path& path);  // atomically

// Errors: those of read_safetensors; no "octet" metadata (a plain weights file); another version; anything that
// QGraph::validate() refuses.
QGraph load_octet_file(const std::filesystem::path& path);

}  // namespace octet
