// What the programs print with: tables, a progress bar on a terminal, sizes and times for people.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace octet::examples {

// Columns as wide as their widest cell; numbers (cells that start with a digit, '-' or '.') are aligned to the right.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string str() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// Draws on stderr, only when that is a terminal, only for work of more than a second, and erases itself at the end.
class ProgressBar {
 public:
  ProgressBar(std::string what, bool quiet);
  ~ProgressBar();
  void update(std::int64_t done, std::int64_t total);

 private:
  std::string what_;
  bool enabled_, drawn_ = false;
  std::chrono::steady_clock::time_point start_, last_;
};

std::string human_bytes(std::int64_t bytes);                    // "0.52 MB": 10^6 bytes, as the published tables count
double percentile(std::vector<double> values, double percent);  // nearest rank; 0 of nothing

// Runs a program's body: an octet::Error becomes one line on stderr and exit status 1.
int guarded(const char* program, const std::function<int()>& body);

}  // namespace octet::examples
