#!/bin/bash
# needs: g++
# A threaded C++ program with exceptions, condition variables, atomics, thread-local storage, file streams and filesystem.
cat >t.cc <<'END'
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <fstream>
#include <future>
#include <iostream>
#include <map>
#include <mutex>
#include <numeric>
#include <shared_mutex>
#include <stdexcept>
#include <thread>
#include <vector>
using namespace std::chrono_literals;
template <typename T> class Queue {
 public:
  void Push(T v) { { std::lock_guard l(mu_); q_.push_back(std::move(v)); } cv_.notify_one(); }
  T Pop() { std::unique_lock l(mu_); cv_.wait(l, [&] { return !q_.empty(); }); T v = std::move(q_.front()); q_.pop_front(); return v; }
 private:
  std::mutex mu_; std::condition_variable cv_; std::deque<T> q_;
};
thread_local int tls = 7;
int Throws(int depth) { if (depth == 0) throw std::runtime_error("deep"); return Throws(depth - 1) + 1; }
int main() {
  Queue<int> in, out;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) threads.emplace_back([&] { for (;;) { int v = in.Pop(); if (v < 0) return; out.Push(v * v); } });
  for (int i = 0; i < 2000; i++) in.Push(i);
  long sum = 0; for (int i = 0; i < 2000; i++) sum += out.Pop();
  for (int i = 0; i < 4; i++) in.Push(-1);
  for (auto& t : threads) t.join();
  std::cout << "sum " << sum << "\n";

  std::atomic<int> n{0}, caught{0}; std::vector<std::thread> many;
  for (int i = 0; i < 32; i++) many.emplace_back([&, i] { tls += i; for (int k = 0; k < 20; k++) { try { Throws(k); } catch (const std::exception&) { caught++; } } n += tls; });
  for (auto& t : many) t.join();
  std::cout << n << " " << caught << " " << tls << "\n";

  auto f = std::async(std::launch::async, []() -> int { throw std::logic_error("in a future"); });
  try { f.get(); } catch (const std::logic_error& e) { std::cout << e.what() << "\n"; }
  std::promise<int> p; auto g = p.get_future(); std::cout << (g.wait_for(20ms) == std::future_status::timeout) << "\n"; std::thread t([&] { std::this_thread::sleep_for(20ms); p.set_value(5); }); std::cout << g.get() << "\n"; t.join();
  std::shared_mutex sm; int shared = 0; std::vector<std::thread> rw; for (int i = 0; i < 8; i++) rw.emplace_back([&, i] { for (int k = 0; k < 200; k++) { if (i % 4 == 0) { std::unique_lock l(sm); shared++; } else { std::shared_lock l(sm); if (shared < 0) std::abort(); } } }); for (auto& x : rw) x.join(); std::cout << shared << "\n";
  std::timed_mutex tm; tm.lock(); std::thread([&] { std::cout << tm.try_lock_for(30ms) << "\n"; }).join(); tm.unlock();
  auto t0 = std::chrono::steady_clock::now(); std::this_thread::sleep_for(50ms); auto dt = std::chrono::steady_clock::now() - t0; std::cout << (dt >= 50ms && dt < 5s) << "\n";

  namespace fs = std::filesystem;
  fs::create_directories("d/e"); { std::ofstream o("d/e/f"); for (int i = 0; i < 1000; i++) o << i << "\n"; } fs::copy("d", "d2", fs::copy_options::recursive); fs::rename("d2/e/f", "d2/g"); std::map<std::string, long> names; for (auto& e : fs::recursive_directory_iterator(".")) if (e.path().string().find("/d") != std::string::npos) names[e.path().string()] = e.is_regular_file() ? (long)e.file_size() : -1; for (auto& [k, v] : names) std::cout << k << " " << v << "\n"; std::ifstream i("d2/g"); long total = 0, v; while (i >> v) total += v; std::cout << total << " " << fs::remove_all("d2") << " " << fs::exists("d2") << "\n"; std::error_code ec; (void)fs::file_size("nosuch", ec); std::cout << ec.message() << "\n";
  try { std::vector<int> x; x.at(3); } catch (const std::out_of_range&) { std::cout << "out of range\n"; }
  try { std::vector<char> huge(1ull << 46); std::cout << "?\n"; } catch (const std::bad_alloc&) { std::cout << "bad_alloc\n"; }
  std::cout << std::flush;
  std::thread([] { throw 1; }).join();
}
END
g++ -std=c++20 -O1 -pthread -o t t.cc && ./t; echo $?
g++ -std=c++20 -O0 -pthread -static -o ts t.cc && ./ts 2>/dev/null | md5sum; ./t 2>/dev/null | md5sum
echo 'import x;' | g++ -x c++ - 2>&1 | grep -c error
exit 0
