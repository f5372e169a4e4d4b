// Every number and structure of the kernel's interface that the addon uses and libc does not have,
// from Linux 7.2. They are the kernel's ABI, so they are repeated here rather than included: the
// addon then builds on hosts whose headers are older than their kernels or absent (Alpine has no
// <linux/...> unless asked), and what it can do does not depend on the build host.
#ifndef KTLS_SRC_NATIVE_KTLS_UAPI_H_
#define KTLS_SRC_NATIVE_KTLS_UAPI_H_

#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace ktls::uapi {

// <linux/socket.h>, <linux/tcp.h>
inline constexpr int kSolTls = 282;
inline constexpr int kTcpInfo = 11;
inline constexpr int kTcpUlp = 31;
inline constexpr char kUlpName[] = "tls";
// TCP_ULP_NAME_MAX of <net/tcp.h>.
inline constexpr size_t kUlpNameMax = 16;

// <asm-generic/socket.h>, Linux 5.0.
#ifdef SO_BINDTOIFINDEX
inline constexpr int kSoBindToIfIndex = SO_BINDTOIFINDEX;
#else
inline constexpr int kSoBindToIfIndex = 62;
#endif

// <linux/sockios.h> has it as TIOCOUTQ, whose number depends on the architecture.
inline constexpr auto kSiocOutq = TIOCOUTQ;

// <linux/tls.h>: socket options
inline constexpr int kTlsTx = 1;
inline constexpr int kTlsRx = 2;
inline constexpr int kTlsTxZeroCopyRo = 3;
inline constexpr int kTlsRxExpectNoPad = 4;
inline constexpr int kTlsTxMaxPayloadLen = 5;

// <linux/tls.h>: control message types
inline constexpr int kTlsSetRecordType = 1;
inline constexpr int kTlsGetRecordType = 2;

// RFC 8446 section 5.1: ContentType
inline constexpr uint8_t kApplicationData = 23;

// <linux/tls.h>: versions, as on the wire
inline constexpr uint16_t kTls12 = 0x0303;
inline constexpr uint16_t kTls13 = 0x0304;

// <linux/tls.h>: ciphers
inline constexpr uint16_t kAesGcm128 = 51;
inline constexpr uint16_t kAesGcm256 = 52;
inline constexpr uint16_t kAesCcm128 = 53;
inline constexpr uint16_t kChaCha20Poly1305 = 54;
inline constexpr uint16_t kSm4Gcm = 55;
inline constexpr uint16_t kSm4Ccm = 56;
inline constexpr uint16_t kAriaGcm128 = 57;
inline constexpr uint16_t kAriaGcm256 = 58;

inline constexpr size_t kRecSeqSize = 8;

struct TlsCryptoInfo {
  uint16_t version;
  uint16_t cipher_type;
};

// The tls12_crypto_info_* structures differ in nothing but the lengths (the name says 12; TLS 1.3
// uses the same ones). ChaCha20-Poly1305 has no salt, and a zero-length array is not C++.
template <size_t kIv, size_t kKey, size_t kSalt>
struct TlsCipherInfo {
  TlsCryptoInfo info;
  uint8_t iv[kIv];
  uint8_t key[kKey];
  uint8_t salt[kSalt];
  uint8_t rec_seq[kRecSeqSize];
};
template <size_t kIv, size_t kKey>
struct TlsCipherInfo<kIv, kKey, 0> {
  TlsCryptoInfo info;
  uint8_t iv[kIv];
  uint8_t key[kKey];
  uint8_t rec_seq[kRecSeqSize];
};

using TlsInfoAesGcm128 = TlsCipherInfo<8, 16, 4>;
using TlsInfoAesGcm256 = TlsCipherInfo<8, 32, 4>;
using TlsInfoAesCcm128 = TlsCipherInfo<8, 16, 4>;
using TlsInfoChaCha20Poly1305 = TlsCipherInfo<12, 32, 0>;
using TlsInfoSm4Gcm = TlsCipherInfo<8, 16, 4>;
using TlsInfoSm4Ccm = TlsCipherInfo<8, 16, 4>;
using TlsInfoAriaGcm128 = TlsCipherInfo<8, 16, 4>;
using TlsInfoAriaGcm256 = TlsCipherInfo<8, 32, 4>;

static_assert(sizeof(TlsInfoAesGcm128) == 40, "struct tls12_crypto_info_aes_gcm_128");
static_assert(sizeof(TlsInfoAesGcm256) == 56, "struct tls12_crypto_info_aes_gcm_256");
static_assert(sizeof(TlsInfoChaCha20Poly1305) == 56, "struct tls12_crypto_info_chacha20_poly1305");

// The largest of them: what a buffer for any cipher must hold.
inline constexpr size_t kMaxCryptoInfoSize = 56;

// <linux/tcp.h>: the part of struct tcp_info that every kernel with TLS (4.13) has. The structure
// grows at its end and getsockopt() takes whatever length it is offered.
struct TcpInfoPrefix {
  uint8_t state_to_flags[8];
  uint32_t rto_to_total_retrans[24];
  uint64_t pacing_rate;
  uint64_t max_pacing_rate;
  uint64_t bytes_acked;
};
static_assert(offsetof(TcpInfoPrefix, bytes_acked) == 120, "struct tcp_info");

// <linux/netlink.h>, <linux/rtnetlink.h>
inline constexpr int kNetlinkSockDiag = 4;
inline constexpr uint16_t kNlmRequest = 1;
inline constexpr uint16_t kNlmDump = 0x300;
inline constexpr uint16_t kNlmsgError = 2;
inline constexpr uint16_t kNlmsgDone = 3;
inline constexpr uint16_t kAttributeTypeMask = 0x3fff;  // NLA_TYPE_MASK
inline constexpr size_t kNetlinkAlign = 4;

struct SockaddrNl {
  uint16_t family;
  uint16_t pad;
  uint32_t pid;
  uint32_t groups;
};

struct NetlinkHeader {
  uint32_t length;
  uint16_t type;
  uint16_t flags;
  uint32_t sequence;
  uint32_t pid;
};

struct AttributeHeader {
  uint16_t length;
  uint16_t type;
};

// <linux/sock_diag.h>, <linux/inet_diag.h>
inline constexpr uint16_t kSockDiagByFamily = 20;
inline constexpr uint8_t kInetDiagInfo = 2;
inline constexpr uint16_t kInetDiagUlpInfo = 19;
inline constexpr uint16_t kInetUlpInfoTls = 2;
inline constexpr uint16_t kTlsInfoVersion = 1;
inline constexpr uint16_t kTlsInfoCipher = 2;
inline constexpr uint16_t kTlsInfoTxConf = 3;
inline constexpr uint16_t kTlsInfoRxConf = 4;
inline constexpr uint16_t kTlsInfoZeroCopyTx = 5;  // a flag
inline constexpr uint16_t kTlsInfoRxNoPad = 6;     // a flag
inline constexpr uint16_t kTlsInfoTxMaxPayload = 7;

struct InetDiagSockId {
  uint16_t sport;  // network byte order, as are the addresses
  uint16_t dport;
  uint32_t src[4];
  uint32_t dst[4];
  uint32_t interface;
  uint32_t cookie[2];
};

struct InetDiagReqV2 {
  uint8_t family;
  uint8_t protocol;
  uint8_t ext;
  uint8_t pad;
  uint32_t states;
  InetDiagSockId id;
};
static_assert(sizeof(InetDiagReqV2) == 56, "struct inet_diag_req_v2");

struct InetDiagMsg {
  uint8_t family;
  uint8_t state;
  uint8_t timer;
  uint8_t retrans;
  InetDiagSockId id;
  uint32_t expires;
  uint32_t rqueue;
  uint32_t wqueue;
  uint32_t uid;
  uint32_t inode;
};
static_assert(sizeof(InetDiagMsg) == 72, "struct inet_diag_msg");

// <linux/sockios.h>, <linux/ethtool.h>: the questions that change nothing.
inline constexpr unsigned long kSiocEthtool = 0x8946;
inline constexpr uint32_t kEthtoolGetDriverInfo = 0x3;
inline constexpr uint32_t kEthtoolGetStrings = 0x1b;
inline constexpr uint32_t kEthtoolGetStatistics = 0x1d;
inline constexpr uint32_t kEthtoolGetSetInfo = 0x37;
inline constexpr uint32_t kEthtoolGetFeatures = 0x3a;
inline constexpr uint32_t kEthtoolGetChannels = 0x3c;

// <linux/mman.h>, Linux 6.5; the number is that of every architecture that Node has.
inline constexpr long kSysCacheStat = 451;
struct CacheStatRange {
  uint64_t off;
  uint64_t len;
};
struct CacheStat {
  uint64_t nr_cache;
  uint64_t nr_dirty;
  uint64_t nr_writeback;
  uint64_t nr_evicted;
  uint64_t nr_recently_evicted;
};

// <linux/fs.h>, Linux 4.14.
inline constexpr int kRwfNoWait = 8;

// <linux/magic.h>: file systems that ask nobody else about their pages.
inline constexpr std::array<uint32_t, 8> kLocalFileSystems = {
    0xEF53,      // ext2, ext3, ext4
    0x58465342,  // XFS
    0x9123683E,  // Btrfs
    0xF2F52010,  // F2FS
    0x01021994,  // tmpfs
    0x858458F6,  // ramfs
    0x73717368,  // SquashFS
    0x794C7630,  // overlayfs, of containers; what it lies over is nearly always one of these
};

}  // namespace ktls::uapi

#endif  // KTLS_SRC_NATIVE_KTLS_UAPI_H_
