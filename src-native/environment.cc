#include "environment.h"

#include <cerrno>
#include <utility>

namespace ktls {

void Environment::Install(Napi::Env env) { env.SetInstanceData(new Environment()); }

Environment& Environment::Of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }

EpollSet* Environment::Epoll(Napi::Env env, int* error) {
  if (torn_down_) {
    *error = -ECANCELED;
    return nullptr;
  }
  if (epoll_ != nullptr) return epoll_.get();
  uv_loop_t* loop = nullptr;
  // The environment's own loop: the default loop belongs to the main thread only.
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) {
    *error = -ENOTSUP;
    return nullptr;
  }
  std::unique_ptr<EpollSet> epoll = EpollSet::Create(loop, error);
  if (epoll == nullptr) return nullptr;
  if (napi_add_async_cleanup_hook(env, OnTeardown, this, nullptr) != napi_ok) {
    *error = -ENOTSUP;
    return nullptr;
  }
  epoll_ = std::move(epoll);
  return epoll_.get();
}

StreamReader::Scratch* Environment::scratch() {
  if (scratch_ == nullptr) scratch_ = std::make_unique<StreamReader::Scratch>();
  return scratch_.get();
}

int Environment::Lend(UniqueFd fd) {
  const int number = fd.get();
  // If it is known already somebody else has closed it: the number is all that was left of it.
  UniqueFd& slot = lent_[number];
  static_cast<void>(slot.Release());
  slot = std::move(fd);
  return number;
}

// Asynchronous, because a libuv handle is free only after its close callback: a worker's loop must
// not be gone by then. Node keeps the loop turning until the hook is removed.
void Environment::OnTeardown(napi_async_cleanup_hook_handle hook, void* data) {
  auto* const self = static_cast<Environment*>(data);
  self->torn_down_ = true;
  self->epoll_->Close([hook] { napi_remove_async_cleanup_hook(hook); });
}

}  // namespace ktls
