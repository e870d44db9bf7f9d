#include "sentry/loader/script.h"

namespace moat {

namespace {
constexpr std::string_view kBlank = " \t";
}

ErrorOr<std::optional<ScriptLine>> ParseScript(std::string_view head) {
  if (!head.starts_with("#!")) return std::optional<ScriptLine>();
  size_t newline = head.find('\n');
  std::string_view line = head.substr(2, newline == std::string_view::npos ? newline : newline - 2);
  line = line.substr(0, line.find('\0'));
  size_t begin = line.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return kENOEXEC;
  size_t end = line.find_first_of(kBlank, begin);
  if (end == std::string_view::npos) {
    // Without a newline the name may have been cut off.
    if (newline == std::string_view::npos && head.size() >= 255) return kENOEXEC;
    return std::optional(ScriptLine{std::string(line.substr(begin)), std::nullopt});
  }
  ScriptLine out{std::string(line.substr(begin, end - begin)), std::nullopt};
  size_t arg = line.find_first_not_of(kBlank, end);
  if (arg != std::string_view::npos) {
    size_t last = line.find_last_not_of(kBlank);
    out.argument = std::string(line.substr(arg, last - arg + 1));
  }
  return std::optional(std::move(out));
}

}  // namespace moat
