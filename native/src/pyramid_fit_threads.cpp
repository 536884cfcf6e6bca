#include "pyramid_fit_threads.h"

#include <system_error>

namespace inrcodec {
namespace pyramid {

Crew::Crew(std::size_t threads) {
  try {
    for (std::size_t thread = 1; thread < threads; ++thread)
      helpers_.emplace_back(&Crew::wait_for_work, this, thread);
  } catch (const std::system_error&) {
    // No more threads are to be had: those that started do the work.
  }
}

Crew::~Crew() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ended_ = true;
  }
  work_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void Crew::take(const Task& task, std::size_t tasks, std::size_t thread) {
  for (std::size_t one; (one = next_.fetch_add(1)) < tasks;) task(one, thread);
}

void Crew::share(std::size_t tasks, const Task& task) {
  if (helpers_.empty() || tasks < 2) {
    for (std::size_t one = 0; one < tasks; ++one) task(one, 0);
    return;
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    task_ = &task;
    tasks_ = tasks;
    next_ = 0;
    ++round_;
  }
  work_.notify_all();
  take(task, tasks, 0);
  std::unique_lock<std::mutex> lock(mutex_);
  // Whoever comes from here on finds nothing to do.
  task_ = nullptr;
  done_.wait(lock, [this] { return busy_ == 0; });
}

void Crew::wait_for_work(std::size_t thread) {
  std::size_t seen = 0;
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    work_.wait(lock, [&] { return ended_ || (task_ && round_ != seen); });
    if (ended_) return;
    seen = round_;
    const Task& task = *task_;
    const std::size_t tasks = tasks_;
    ++busy_;
    lock.unlock();
    take(task, tasks, thread);
    lock.lock();
    if (--busy_ == 0) done_.notify_one();
  }
}

}  // namespace pyramid
}  // namespace inrcodec
