# Doxygen reads ///, the headers are written with plain //. This says what their reader understands anyway:
#   the first block of a file is about the file, and where it begins "Name: " about the type Name, too;
#   a block is about the declarations below it, up to the next empty line;
#   a comment behind a declaration is about that declaration, also behind the brace that opens a type.
function clean(text) {  # no commands and no tags by accident
  gsub(/\\/, "\\\\\\\\", text)
  gsub(/&/, "\\&amp;", text)
  gsub(/</, "\\&lt;", text)
  gsub(/>/, "\\&gt;", text)
  gsub(/@/, "\\&#64;", text)
  gsub(/#/, "\\&#35;", text)
  gsub(/&&#35;64;/, "\\&#64;", text)
  return text
}
# The type that a line begins to define; "" for any other line.
function type_of(line) {
  if (line !~ /^[ \t]*(class|struct|enum|enum class) [A-Za-z0-9_]+[^;]*\{/) return ""
  sub(/^[ \t]*(class|struct|enum class|enum) /, "", line)
  sub(/[^A-Za-z0-9_].*/, "", line)
  return line
}
FNR == 1 { block = ""; head = 1; about = ""; said = "" }
/^[ \t]*\/\/( |$)/ {
  line = $0
  sub(/^[ \t]*\/\/ ?/, "", line)
  if (head) {
    if (head == 1) {
      print "/// \\file"
      if (match(line, /^[A-Z][A-Za-z0-9]+: /)) about = substr(line, 1, RLENGTH - 2)
    }
    print "/// " clean(line)
    said = said "/// " clean(line) "\n"
    head = 2
    next
  }
  if (!in_block) block = ""
  in_block = 1
  block = block "/// " clean(line) "\n"
  next
}
{ head = 0; in_block = 0 }
/^[ \t]*$/ { block = ""; print; next }
{
  code = $0
  behind = ""
  if (match(code, /[;,{}] +\/\/ /)) {
    behind = substr(code, RSTART + RLENGTH)
    code = substr(code, 1, RSTART)
  }
  type = type_of(code)
  if (type != "" && type == about && block == "") block = said
  if (type != "" && behind != "") {
    block = block "/// " clean(behind) "\n"
    behind = ""
  }
  declares = code !~ /^[ \t]*(#|public:|private:|protected:|[})]|return|if|for|while|switch|case|using namespace|namespace)/
  if (declares && block != "" && !continues) printf "%s", block
  print code (behind != "" ? " ///< " clean(behind) : "")
  continues = declares && code !~ /[;{}:,][ \t]*$/
}
