#include "epoll_set.h"

#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <utility>

#include "retry.h"

namespace ktls {
namespace {

constexpr int kBatch = 64;
// More is left for the next turn of the loop: the epoll fd then stays readable, and libuv's own
// watchers and timers get their turn.
constexpr int kMaxBatches = 8;

epoll_event EventOf(int64_t id, bool writable) {
  epoll_event event = {};
  event.events = EPOLLIN | EPOLLRDHUP | EPOLLET | (writable ? EPOLLOUT : 0U);
  event.data.u64 = static_cast<uint64_t>(id);
  return event;
}

}  // namespace

std::unique_ptr<EpollSet> EpollSet::Create(uv_loop_t* loop, int* error) {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) {
    *error = -errno;
    return nullptr;
  }
  const int fd = epoll.get();
  std::unique_ptr<EpollSet> set(new EpollSet(std::move(epoll)));
  auto watcher = std::make_unique<Watcher>();
  *error = uv_poll_init(loop, &watcher->poll, fd);
  if (*error != 0) return nullptr;
  // From here on only uv_close() may free it.
  watcher->set = set.get();
  watcher->poll.data = watcher.get();
  uv_idle_init(loop, &watcher->idle);
  watcher->idle.data = watcher.get();
  set->watcher_ = watcher.release();
  uv_unref(reinterpret_cast<uv_handle_t*>(&set->watcher_->poll));
  uv_unref(reinterpret_cast<uv_handle_t*>(&set->watcher_->idle));
  *error = uv_poll_start(&set->watcher_->poll, UV_READABLE, OnPoll);
  if (*error != 0) return nullptr;
  return set;
}

EpollSet::~EpollSet() { Close({}); }

int64_t EpollSet::Add(int fd, EpollListener* listener) {
  if (watcher_ == nullptr) return -ECANCELED;
  const int64_t id = ++last_id_;
  epoll_event event = EventOf(id, /*writable=*/true);
  const int result = Retry([&] { return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event); });
  if (result < 0) return result;
  // It was added although this number is taken: so it is another socket by now, and whoever closed
  // the old one forgot to say so. The old listener must not touch the new socket.
  const auto stale = id_of_fd_.find(fd);
  if (stale != id_of_fd_.end()) {
    const auto entry = entries_.find(stale->second);
    EpollListener* const old = entry->second.listener;
    entries_.erase(entry);
    id_of_fd_.erase(stale);
    old->OnDropped();
  }
  entries_.emplace(id, Entry{fd, listener});
  id_of_fd_.emplace(fd, id);
  return id;
}

int EpollSet::WatchWritable(int64_t id, bool on) {
  const auto entry = entries_.find(id);
  if (entry == entries_.end()) return -EBADF;
  epoll_event event = EventOf(id, on);
  return Retry([&] { return epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, entry->second.fd, &event); });
}

void EpollSet::TellLater(int64_t id) {
  if (watcher_ == nullptr) return;
  due_.push_back(id);
  uv_idle_start(&watcher_->idle, OnIdle);
}

void EpollSet::Remove(int64_t id) {
  const auto entry = entries_.find(id);
  if (entry == entries_.end()) return;
  const int fd = entry->second.fd;
  entries_.erase(entry);
  id_of_fd_.erase(fd);
  // Fails where the fd was closed first, and then there is nothing left to remove.
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void EpollSet::Ref() {
  if (refs_++ == 0 && watcher_ != nullptr) {
    uv_ref(reinterpret_cast<uv_handle_t*>(&watcher_->poll));
  }
}

void EpollSet::Unref() {
  if (--refs_ == 0 && watcher_ != nullptr) {
    uv_unref(reinterpret_cast<uv_handle_t*>(&watcher_->poll));
  }
}

void EpollSet::Close(std::function<void()> closed) {
  if (watcher_ == nullptr) {
    if (closed) closed();
    return;
  }
  Watcher* const watcher = std::exchange(watcher_, nullptr);
  watcher->set = nullptr;
  watcher->closed = std::move(closed);
  const uv_close_cb handle_closed = [](uv_handle_t* handle) {
    auto* const owner = static_cast<Watcher*>(handle->data);
    if (--owner->open > 0) return;
    const std::unique_ptr<Watcher> owned(owner);
    if (owned->closed) owned->closed();
  };
  uv_close(reinterpret_cast<uv_handle_t*>(&watcher->poll), handle_closed);
  uv_close(reinterpret_cast<uv_handle_t*>(&watcher->idle), handle_closed);
  // uv_close() has taken it out of the loop's epoll set, so the fd may go.
  epoll_.Reset();
  id_of_fd_.clear();
  due_.clear();
  for (const auto& [id, entry] : std::exchange(entries_, {})) entry.listener->OnDropped();
}

void EpollSet::OnPoll(uv_poll_t* poll, int status, int /*events*/) {
  EpollSet* const set = static_cast<Watcher*>(poll->data)->set;
  if (status == 0 && set != nullptr) set->Dispatch();
}

void EpollSet::OnIdle(uv_idle_t* idle) {
  uv_idle_stop(idle);
  EpollSet* const set = static_cast<Watcher*>(idle->data)->set;
  if (set != nullptr) set->TellDue();
}

void EpollSet::TellDue() {
  for (const int64_t id : std::exchange(due_, {})) {
    const auto entry = entries_.find(id);
    if (entry != entries_.end() && !entry->second.listener->OnDue()) return;
  }
}

void EpollSet::Dispatch() {
  std::array<epoll_event, kBatch> events{};
  for (int batch = 0; batch < kMaxBatches; batch++) {
    const int count =
        Retry([&] { return epoll_wait(epoll_.get(), events.data(), kBatch, /*timeout=*/0); });
    for (int i = 0; i < count; i++) {
      // By id, not by pointer: an earlier callback of this batch may have removed it.
      const epoll_event& event = events[static_cast<size_t>(i)];
      const auto entry = entries_.find(static_cast<int64_t>(event.data.u64));
      if (entry == entries_.end()) continue;
      if (!entry->second.listener->OnReady(event.events)) return;
    }
    if (count < kBatch) return;
  }
}

}  // namespace ktls
