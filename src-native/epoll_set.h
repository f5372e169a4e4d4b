// Readiness of many sockets through one watcher on the event loop: an epoll set, itself polled by a
// single uv_poll_t, and a uv_idle_t for what is not to wait for an event. libuv allows one watcher
// of its own for each fd, and the sockets' own handles are that. Free of N-API.
#ifndef KTLS_SRC_NATIVE_EPOLL_SET_H_
#define KTLS_SRC_NATIVE_EPOLL_SET_H_

#include <uv.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "unique_fd.h"

namespace ktls {

class EpollListener {
 public:
  EpollListener() = default;
  virtual ~EpollListener() = default;
  EpollListener(const EpollListener&) = delete;
  EpollListener& operator=(const EpollListener&) = delete;
  EpollListener(EpollListener&&) = delete;
  EpollListener& operator=(EpollListener&&) = delete;

  // `events` are epoll's. May add and remove listeners, itself included. False: stop dispatching.
  virtual bool OnReady(uint32_t events) = 0;
  // What TellLater() asked for. As OnReady().
  virtual bool OnDue() = 0;
  // The set has forgotten this listener, unasked.
  virtual void OnDropped() = 0;
};

class EpollSet {
 public:
  // On failure returns nullptr and the negated errno.
  static std::unique_ptr<EpollSet> Create(uv_loop_t* loop, int* error);
  ~EpollSet();
  EpollSet(const EpollSet&) = delete;
  EpollSet& operator=(const EpollSet&) = delete;
  EpollSet(EpollSet&&) = delete;
  EpollSet& operator=(EpollSet&&) = delete;

  // Edge-triggered: Linux 6.0 to 6.4 say POLLIN for a partial TLS record that cannot be read yet
  // (net/tls/tls_strp.c), and a level-triggered set would spin on it.
  // Returns the id (> 0, never used again) or a negated errno.
  int64_t Add(int fd, EpollListener* listener);
  // Whether EPOLLOUT is told: at first it is. Turning it on tells at once if there is room already.
  int WatchWritable(int64_t id, bool on);
  // Calls OnDue() in the next turn of the loop, unless the listener is gone by then. From the loop
  // itself, as behind an event, and not from a callback of JavaScript's: Node then runs ticks and
  // promises behind each callback that is made within.
  void TellLater(int64_t id);
  void Remove(int64_t id);

  // The loop stays alive as long as there are more calls of Ref() than of Unref().
  void Ref();
  void Unref();

  // Drops every listener and closes the watcher; `closed` is called from the loop.
  void Close(std::function<void()> closed);

 private:
  // libuv owns a handle from uv_close() until its callback, so they are apart from the set.
  struct Watcher {
    uv_poll_t poll{};
    uv_idle_t idle{};
    int open = 2;
    EpollSet* set = nullptr;
    std::function<void()> closed;
  };
  struct Entry {
    int fd;
    EpollListener* listener;
  };

  explicit EpollSet(UniqueFd epoll) : epoll_(std::move(epoll)) {}
  static void OnPoll(uv_poll_t* poll, int status, int events);
  static void OnIdle(uv_idle_t* idle);
  void Dispatch();
  void TellDue();

  UniqueFd epoll_;
  Watcher* watcher_ = nullptr;
  int64_t last_id_ = 0;
  size_t refs_ = 0;
  std::unordered_map<int64_t, Entry> entries_;
  std::unordered_map<int, int64_t> id_of_fd_;
  std::vector<int64_t> due_;
};

}  // namespace ktls

#endif  // KTLS_SRC_NATIVE_EPOLL_SET_H_
