// What the kernel itself says of a socket's TLS offload, over NETLINK_SOCK_DIAG.
#ifndef KTLS_SRC_NATIVE_SOCK_DIAG_H_
#define KTLS_SRC_NATIVE_SOCK_DIAG_H_

namespace ktls {

// txConf + 16 * rxConf (TLS_CONF_* of <linux/tls.h>); 0: the socket has no TLS, or no keys yet. Or
// a negated errno: -EPERM where the kernel tells only CAP_NET_ADMIN (before Linux 6.15), -ENOENT
// where it has no tcp_diag module to ask.
int TlsMode(int fd);

}  // namespace ktls

#endif  // KTLS_SRC_NATIVE_SOCK_DIAG_H_
