// Runs programs as users do: arguments, environment and folder in; exit status, stdout and stderr out.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace octet::testing {

namespace fs = std::filesystem;
using nlohmann::json;
using Arguments = std::vector<std::string>;
using Environment = std::vector<std::pair<std::string, std::string>>;

inline std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_text(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

// A folder of its own for each test, gone at the end.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (fs::temp_directory_path() / "octet-test-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TempFolder() {
    std::error_code error;
    fs::remove_all(path_, error);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const fs::path& path() const { return path_; }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  fs::path path_;
};

struct Result {
  int status = -1;  // exit status; 128 + signal; -1 when it ran out of time
  std::string out, err;

  std::vector<std::string> err_lines() const {
    std::vector<std::string> lines;
    std::istringstream stream(err);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
  }
};

struct RunOptions {
  Environment environment;  // beside the tests' own; OCTET_* of the tests' environment is not handed on
  fs::path folder;          // to run in; empty: the tests' own
  std::chrono::seconds timeout{120};
};

inline std::vector<std::string> environment_of(const RunOptions& options) {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (!std::string(*variable).starts_with("OCTET_")) variables.emplace_back(*variable);
  }
  for (const auto& [name, value] : options.environment) variables.push_back(name + "=" + value);
  return variables;
}

inline std::vector<char*> c_strings(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Waits for the process; kills it when its time is over. Returns Result::status.
inline int wait_for(pid_t process, std::chrono::seconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  int state = 0;
  while (waitpid(process, &state, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > end) {
      kill(process, SIGKILL);
      waitpid(process, &state, 0);
      return -1;
    }
    usleep(2000);
  }
  return WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
}

// `command` is a program and its arguments. Its output goes through files, so that no pipe can fill up.
inline Result run_program(Arguments command, const RunOptions& options = {}) {
  const TempFolder files;
  const std::string out = files / "out", err = files / "err";
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out.c_str(), O_WRONLY | O_CREAT, 0600);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err.c_str(), O_WRONLY | O_CREAT, 0600);
  if (!options.folder.empty()) posix_spawn_file_actions_addchdir_np(&actions, options.folder.c_str());
  std::vector<std::string> environment = environment_of(options);
  pid_t process = 0;
  const int failed = posix_spawnp(&process, command.front().c_str(), &actions, nullptr, c_strings(command).data(),
                                  c_strings(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  REQUIRE_MESSAGE(failed == 0, "cannot start " << command.front());
  Result result;
  result.status = wait_for(process, options.timeout);
  result.out = read_text(out), result.err = read_text(err);
  return result;
}

inline std::string joined(const Arguments& arguments) {
  std::string text;
  for (const std::string& a : arguments) text += " " + a;
  return text;
}

inline std::string program_path(const std::string& name) { return std::string(OCTET_BINARY_DIR) + "/bin/" + name; }

inline Result run_octet(Arguments arguments, const RunOptions& options = {}) {
  arguments.insert(arguments.begin(), program_path("octet"));
  return run_program(std::move(arguments), options);
}

// The JSON that a command prints (--json is added); it must succeed and keep stderr empty.
inline json octet_json(Arguments arguments, const RunOptions& options = {}) {
  arguments.push_back("--json");
  const Result result = run_octet(arguments, options);
  INFO("octet", joined(arguments), "\n", result.err);
  REQUIRE(result.status == 0);
  CHECK(result.err.empty());
  const json parsed = json::parse(result.out, nullptr, false);
  REQUIRE_FALSE(parsed.is_discarded());
  return parsed;
}

// Exit status 1, nothing on stdout, and exactly one line on stderr (after notes) that holds each of `words`.
inline void check_refused(const Result& result, const std::string& program, const std::vector<std::string>& words) {
  INFO("status ", result.status, ", stderr: ", result.err);
  CHECK(result.status == 1);
  CHECK(result.out.empty());
  std::vector<std::string> lines = result.err_lines();
  while (!lines.empty() && lines.front().starts_with("note: ")) lines.erase(lines.begin());
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].starts_with(program + ": "));
  CHECK(lines[0].size() < 400);
  for (const std::string& word : words) {
    CAPTURE(word);
    CHECK(lines[0].find(word) != std::string::npos);
  }
}

inline void octet_refuses(const Arguments& arguments, const std::vector<std::string>& words,
                          const RunOptions& options = {}) {
  INFO("octet", joined(arguments));
  check_refused(run_octet(arguments, options), "octet", words);
}

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitised = true;  // everything is several times slower: fewer photos
#else
constexpr bool kSanitised = false;
#endif

}  // namespace octet::testing
