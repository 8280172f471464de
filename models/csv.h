// RFC 4180 tables: commas, quotes with doubled quotes inside, line breaks inside quotes, CR LF or LF.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace octet::models {

// Rows of fields; empty lines are left out. Throws Error for an unfinished quote. `where` names the file in messages.
std::vector<std::vector<std::string>> parse_csv(std::string_view text, const std::string& where);

}  // namespace octet::models
