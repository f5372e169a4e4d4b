/*
 * LD_PRELOAD: makes one system call fail on purpose.
 *
 *   KTLS_FAULT="<call> <errno> <nth> [<fd>] [#...]"
 *
 * <call> is ulp, tx, rx (the setsockopt()s of kernel TLS), count (its getsockopt(TLS_TX)), socket (of the
 * probe, which names TCP as libuv does not), send or recv, watch (the epoll_ctl() of an edge-triggered watch,
 * which libuv's are not), or, on sockets that have the TLS layer, sendmsg, recvmsg, sendfile or write, which
 * stands for writev() too. The nth such call since the variable got its present value (0: every one), of
 * those on the fd if there is one, fails with the errno given as a number. It is read at every call, so a
 * Node program arms a fault by assigning to process.env, when everything before it has gone well. What
 * follows a # only makes it another value.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { kTcpUlp = 31, kSolTls = 282, kTlsTx = 1, kTlsRx = 2 };

static int fails(const char *call, int fd) {
  static char armed[64];
  static int calls;
  const char *fault = getenv("KTLS_FAULT");
  if (fault == NULL) fault = "";
  if (strncmp(armed, fault, sizeof(armed) - 1) != 0) {
    strncpy(armed, fault, sizeof(armed) - 1);
    calls = 0;
  }
  char name[16];
  int error = 0;
  int nth = 0;
  int only = fd;
  if (sscanf(armed, "%15s %d %d %d", name, &error, &nth, &only) < 3) return 0;
  if (strcmp(name, call) != 0 || only != fd) return 0;
  if (++calls != nth && nth != 0) return 0;
  errno = error;
  return 1;
}

static int has_tls(int fd) {
  char ulp[16] = "";
  socklen_t size = sizeof(ulp);
  const int before = errno;
  const int known = getsockopt(fd, IPPROTO_TCP, kTcpUlp, ulp, &size);
  errno = before;
  return known == 0 && strncmp(ulp, "tls", sizeof(ulp)) == 0;
}

/* Asked of few calls, since most are not on sockets of ours. */
static int fails_on_tls(const char *call, int fd) {
  const char *fault = getenv("KTLS_FAULT");
  if (fault == NULL || fault[0] == '\0') return 0;
  return has_tls(fd) && fails(call, fd);
}

#define REAL(function) ((__typeof__(&function))dlsym(RTLD_NEXT, #function))

int setsockopt(int fd, int level, int name, const void *value, socklen_t size) {
  const char *call = NULL;
  if (level == IPPROTO_TCP && name == kTcpUlp) call = "ulp";
  if (level == kSolTls && name == kTlsTx) call = "tx";
  if (level == kSolTls && name == kTlsRx) call = "rx";
  if (call != NULL && fails(call, fd)) return -1;
  return REAL(setsockopt)(fd, level, name, value, size);
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *size) {
  const int counts = level == kSolTls && name == kTlsTx;
  return counts && fails("count", fd) ? -1 : REAL(getsockopt)(fd, level, name, value, size);
}

int socket(int family, int type, int protocol) {
  const int tcp = (family == AF_INET || family == AF_INET6) && protocol == IPPROTO_TCP;
  return tcp && fails("socket", -1) ? -1 : REAL(socket)(family, type, protocol);
}

ssize_t send(int fd, const void *data, size_t size, int flags) {
  return fails("send", fd) ? -1 : REAL(send)(fd, data, size, flags);
}

ssize_t recv(int fd, void *data, size_t size, int flags) {
  return fails("recv", fd) ? -1 : REAL(recv)(fd, data, size, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  return fails_on_tls("sendmsg", fd) ? -1 : REAL(sendmsg)(fd, message, flags);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
  return fails_on_tls("recvmsg", fd) ? -1 : REAL(recvmsg)(fd, message, flags);
}

ssize_t write(int fd, const void *data, size_t size) {
  return fails_on_tls("write", fd) ? -1 : REAL(write)(fd, data, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  return fails_on_tls("write", fd) ? -1 : REAL(writev)(fd, parts, count);
}

ssize_t sendfile64(int socket, int file, off64_t *offset, size_t size) {
  return fails_on_tls("sendfile", socket) ? -1 : REAL(sendfile64)(socket, file, offset, size);
}

int epoll_ctl(int set, int operation, int fd, struct epoll_event *event) {
  const int watches = operation == EPOLL_CTL_ADD && (event->events & EPOLLET) != 0;
  return watches && fails("watch", fd) ? -1 : REAL(epoll_ctl)(set, operation, fd, event);
}
