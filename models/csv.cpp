#include "models/csv.h"

#include "runtime/error.h"

namespace octet::models {

std::vector<std::vector<std::string>> parse_csv(std::string_view text, const std::string& where) {
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> row;
  std::string field;
  bool quoted = false, any = false;                             // any: the row has a field, if an empty one
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // the mark that spreadsheets put before UTF-8
  const auto end_row = [&] {
    if (any || !field.empty()) {
      row.push_back(std::move(field));
      rows.push_back(std::move(row));
    }
    field.clear(), row.clear(), any = false;
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      const bool doubled = c == '"' && i + 1 < text.size() && text[i + 1] == '"';
      if (c == '"' && !doubled) {
        quoted = false;
      } else {
        field += c;
        i += doubled;
      }
    } else if (c == '"') {
      quoted = true, any = true;
    } else if (c == ',') {
      row.push_back(std::move(field));
      field.clear(), any = true;
    } else if (c == '\n') {
      end_row();
    } else if (c != '\r') {
      field += c;
    }
  }
  require(!quoted, "{}: a quote is opened and never closed", where);
  end_row();
  return rows;
}

}  // namespace octet::models
