# Doxygen reads ///, the headers are written with plain //. This says what their reader understands anyway:
#   the first block of a file is about the file;
#   a block is about the declarations below it, up to the next empty line;
#   a comment behind a declaration is about that declaration.
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
FNR == 1 { block = ""; head = 1 }
/^[ \t]*\/\/( |$)/ {
  line = $0
  sub(/^[ \t]*\/\/ ?/, "", line)
  if (head) {
    if (head == 1) print "/// \\file"
    print "/// " clean(line)
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
  declares = code !~ /^[ \t]*(#|public:|private:|protected:|[})]|return|if|for|while|switch|case|using namespace|namespace)/
  if (declares && block != "" && !continues) printf "%s", block
  print code (behind != "" ? " ///< " clean(behind) : "")
  continues = declares && code !~ /[;{}:,][ \t]*$/
}
