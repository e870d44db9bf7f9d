// A binary codec for plain structs that two of our programs exchange: integers in host order, strings and
// lists with a 32-bit length in front. A struct is taken apart by VisitFields(codec, record), found in
// namespace moat, which so lists its fields once for both directions:
//
//   template <class Codec, Is<Point> Record>
//   void VisitFields(Codec& v, Record& r) { v(r.x), v(r.y); }
#pragma once

#include <array>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace moat {

// `Record` may be const: the writer's is.
template <class Record, class T>
concept Is = std::is_same_v<std::remove_const_t<Record>, T>;

class WireWriter {
 public:
  std::string Take() { return std::move(out_); }

  template <class T>
  requires std::is_integral_v<T> || std::is_enum_v<T>
  void operator()(const T& value) { out_.append(reinterpret_cast<const char*>(&value), sizeof(value)); }
  void operator()(const std::string& text) {
    (*this)(static_cast<uint32_t>(text.size()));
    out_ += text;
  }
  template <class T>
  void operator()(const std::vector<T>& list) {
    (*this)(static_cast<uint32_t>(list.size()));
    for (const T& item : list) (*this)(item);
  }
  template <class T, size_t N>
  void operator()(const std::array<T, N>& list) {
    for (const T& item : list) (*this)(item);
  }

  template <class T>
  void operator()(const T& record) {
    VisitFields(*this, record);
  }

 private:
  std::string out_;
};

// Reads what WireWriter wrote. The first thing that does not fit makes failed() true and every later read a
// no-op. Lists of more than `max_items` are refused, as are bools other than 0 and 1; ranges of enums are the
// caller's to check.
class WireReader {
 public:
  WireReader(std::string_view in, size_t max_items) : in_(in), max_items_(max_items) {}
  bool failed() const { return failed_; }
  bool done() const { return !failed_ && in_.empty(); }

  template <class T>
  requires std::is_integral_v<T> || std::is_enum_v<T>
  void operator()(T& value) {
    const std::string_view bytes = Cut(sizeof(value));
    if (bytes.size() != sizeof(value)) return;
    if constexpr (std::is_same_v<T, bool>) {
      if (bytes[0] != 0 && bytes[0] != 1) return Fail();
    }
    memcpy(&value, bytes.data(), sizeof(value));
  }
  void operator()(std::string& text) {
    uint32_t size = 0;
    (*this)(size);
    text = Cut(size);
  }
  template <class T>
  void operator()(std::vector<T>& list) {
    uint32_t count = 0;
    (*this)(count);
    // Each item takes a byte at least, so `count` can't make us allocate more than was sent.
    if (count > max_items_ || count > in_.size()) return Fail();
    for (uint32_t i = 0; i < count && !failed_; ++i) (*this)(list.emplace_back());
  }
  template <class T, size_t N>
  void operator()(std::array<T, N>& list) {
    for (T& item : list) (*this)(item);
  }

  template <class T>
  void operator()(T& record) {
    VisitFields(*this, record);
  }

 private:
  void Fail() { failed_ = true; }
  std::string_view Cut(size_t size) {
    if (failed_ || size > in_.size()) {
      failed_ = true;
      return {};
    }
    const std::string_view bytes = in_.substr(0, size);
    in_.remove_prefix(size);
    return bytes;
  }

  std::string_view in_;
  const size_t max_items_;
  bool failed_ = false;
};

}  // namespace moat
