/*
 * LD_PRELOAD: makes one system call fail on purpose.
 *
 *   KTLS_FAULT="<call> <errno> <nth>"
 *
 * <call> is ulp, tx, rx (the setsockopt()s of kernel TLS), send or recv; the nth such call since the
 * variable got its present value fails with the errno given as a number. It is read at every call, so a
 * Node program arms a fault by assigning to process.env, when everything before it has gone well.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { kTcpUlp = 31, kSolTls = 282, kTlsTx = 1, kTlsRx = 2 };

static int fails(const char *call) {
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
  if (sscanf(armed, "%15s %d %d", name, &error, &nth) != 3 || strcmp(name, call) != 0) return 0;
  if (++calls != nth) return 0;
  errno = error;
  return 1;
}

#define REAL(function) ((__typeof__(&function))dlsym(RTLD_NEXT, #function))

int setsockopt(int fd, int level, int name, const void *value, socklen_t size) {
  const char *call = NULL;
  if (level == IPPROTO_TCP && name == kTcpUlp) call = "ulp";
  if (level == kSolTls && name == kTlsTx) call = "tx";
  if (level == kSolTls && name == kTlsRx) call = "rx";
  if (call != NULL && fails(call)) return -1;
  return REAL(setsockopt)(fd, level, name, value, size);
}

ssize_t send(int fd, const void *data, size_t size, int flags) {
  return fails("send") ? -1 : REAL(send)(fd, data, size, flags);
}

ssize_t recv(int fd, void *data, size_t size, int flags) {
  return fails("recv") ? -1 : REAL(recv)(fd, data, size, flags);
}
