// Text inside SVG and HTML.
#pragma once

#include <string>
#include <string_view>

namespace octet {

// Text fit to stand between tags and in attributes quoted with ": & < > " as entities. What XML forbids (control
// characters) and bytes that are no well-formed UTF-8 become a question mark, so that no name from a file can spoil
// the document.
std::string markup_escaped(std::string_view text);

}  // namespace octet
