// Threads that wait for work and share it out.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace inrcodec {
namespace pyramid {

class Crew {
 public:
  // A task by its number, and the number of the thread that does it.
  using Task = std::function<void(std::size_t task, std::size_t thread)>;

  // `threads` with the caller's.
  explicit Crew(std::size_t threads);
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  // Returns once all tasks are done. Threads that do not get a core are not waited for.
  void share(std::size_t tasks, const Task& task);

 private:
  void take(const Task& task, std::size_t tasks, std::size_t thread);
  void wait_for_work(std::size_t thread);

  std::vector<std::thread> helpers_;
  std::mutex mutex_;
  std::condition_variable work_, done_;
  const Task* task_ = nullptr;
  std::size_t tasks_ = 0, round_ = 0, busy_ = 0;
  std::atomic<std::size_t> next_{0};
  bool ended_ = false;
};

}  // namespace pyramid
}  // namespace inrcodec
