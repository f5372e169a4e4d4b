// What the addon owns in each environment (main thread or worker): its epoll set, and the
// descriptors that JavaScript has of it.
#ifndef KTLS_SRC_NATIVE_ENVIRONMENT_H_
#define KTLS_SRC_NATIVE_ENVIRONMENT_H_

#include <napi.h>

#include <memory>
#include <unordered_map>

#include "epoll_set.h"
#include "stream_reader.h"
#include "unique_fd.h"

namespace ktls {

class Environment {
 public:
  static void Install(Napi::Env env);
  static Environment& Of(Napi::Env env);

  // Created by its first use. nullptr and a negated errno: not to be had.
  EpollSet* Epoll(Napi::Env env, int* error);

  // Of all stream readers here. Not thread_local, which would ask a libc for more than all have.
  StreamReader::Scratch* scratch();

  // Gives a descriptor to JavaScript, and takes it back: a worker that is terminated closes
  // nothing.
  int Lend(UniqueFd fd);
  void Return(int fd) { lent_.erase(fd); }

 private:
  static void OnTeardown(napi_async_cleanup_hook_handle hook, void* data);

  bool torn_down_ = false;
  std::unique_ptr<EpollSet> epoll_;
  std::unordered_map<int, UniqueFd> lent_;
  std::unique_ptr<StreamReader::Scratch> scratch_;
};

}  // namespace ktls

#endif  // KTLS_SRC_NATIVE_ENVIRONMENT_H_
