// SPDX-License-Identifier: GPL-2.0
/*
 * A pair of network interfaces, wired to each other, that claim to encrypt and decrypt TLS: the device
 * path of net/tls without the hardware. For tests only; never part of the npm package.
 *
 * Sending: what a NIC does in silicon, tls_encrypt_skb() does here (the kernel's own fallback for a
 * packet that must leave by another device). Like a NIC each connection has a place in the TCP stream
 * up to which the device has followed; a packet from anywhere else is a retransmission or a gap, is
 * counted, and makes the device ask the stack where the next record begins.
 *
 * Receiving: a packet that consists of whole records, at the place that the device expects, is decrypted
 * and authenticated with the kernel's gcm(aes) and marked skb->decrypted. Everything else goes up as it
 * came, for the stack to decrypt; the stack then tells the device where the next record begins
 * (TLS_OFFLOAD_SYNC_TYPE_CORE_NEXT_HINT). Real devices can also decrypt parts of records.
 *
 * Faults are module parameters, changeable at any time: refuse (1 sending, 2 receiving), drop and
 * reorder (per cent of packets). Half of what is dropped never comes to where it would be encrypted, as
 * in a queue that is full: the device sees a gap, and must ask where it is. Link loss: "ip link set
 * ktlsim0 down", which ends offloading for the connections there are, or the carrier file in sysfs,
 * which does not.
 */
#include <crypto/aead.h>
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/ip.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <linux/scatterlist.h>
#include <linux/tcp.h>
#include <linux/version.h>
#include <net/tcp.h>
#include <net/tls.h>

static unsigned int refuse;
module_param(refuse, uint, 0644);
MODULE_PARM_DESC(refuse, "refuse tls_dev_add: 1 sending, 2 receiving, 3 both");
static unsigned int drop;
module_param(drop, uint, 0644);
MODULE_PARM_DESC(drop, "per cent of packets to lose");
static unsigned int reorder;
module_param(reorder, uint, 0644);
MODULE_PARM_DESC(reorder, "per cent of packets to hold back behind the next one");

#define KTLSIM_REFUSE_TX 1
#define KTLSIM_REFUSE_RX 2

/* In the order of struct ktlsim's counters; the names are those that mlx5 uses, where it has them. */
static const char ktlsim_names[][ETH_GSTRING_LEN] = {
	"tx_tls_ctx",
	"tx_tls_del",
	"tx_tls_encrypted_packets",
	"tx_tls_encrypted_bytes",
	"tx_tls_ooo",
	"tx_tls_resync",
	"tx_tls_fallback",
	"tx_tls_drop",
	"tx_tls_refused",
	"rx_tls_ctx",
	"rx_tls_del",
	"rx_tls_decrypted_packets",
	"rx_tls_decrypted_bytes",
	"rx_tls_skipped",
	"rx_tls_auth_failed",
	"rx_tls_resync",
	"rx_tls_refused",
};

enum ktlsim_counter {
	TX_CTX, TX_DEL, TX_PACKETS, TX_BYTES, TX_OOO, TX_RESYNC, TX_FALLBACK, TX_DROP,
	TX_REFUSED,
	RX_CTX, RX_DEL, RX_PACKETS, RX_BYTES, RX_SKIPPED, RX_AUTH, RX_RESYNC,
	RX_REFUSED,
	KTLSIM_COUNTERS
};
static_assert(ARRAY_SIZE(ktlsim_names) == KTLSIM_COUNTERS);

struct ktlsim {
	struct net_device *peer;
	atomic64_t counters[KTLSIM_COUNTERS];
	spinlock_t lock; /* contexts, held */
	struct list_head contexts;
	struct sk_buff *held;
};

/* A connection whose records this device decrypts, as seen from here: the peer is the sender. */
struct ktlsim_rx {
	struct list_head list;
	struct rcu_head rcu;
	spinlock_t lock; /* next_seq, record, skipped_* */
	__be32 saddr, daddr;
	__be16 sport, dport;
	u32 next_seq;
	u64 record;
	/* The last packet that was not decrypted. */
	u32 skipped_seq, skipped_end;
	u8 salt[TLS_CIPHER_AES_GCM_128_SALT_SIZE];
	struct crypto_aead *aead;
};

/* In the space that net/tls keeps for the driver: TLS_DRIVER_STATE_SIZE_TX, _RX. */
struct ktlsim_tx_state {
	u32 next_seq;
};
struct ktlsim_rx_state {
	struct ktlsim_rx *context;
};

static struct net_device *ktlsim_devices[2];

static void ktlsim_count(struct ktlsim *sim, enum ktlsim_counter counter, s64 value)
{
	atomic64_add(value, &sim->counters[counter]);
}

/* ---- sending ---- */

static struct sk_buff *ktlsim_encrypt(struct ktlsim *sim, struct sk_buff *skb)
{
	struct sock *sk = skb->sk;
	struct ktlsim_tx_state *state = tls_driver_ctx(sk, TLS_OFFLOAD_CTX_DIR_TX);
	unsigned int length = skb->len - (skb_transport_offset(skb) + tcp_hdrlen(skb));
	u32 seq = ntohl(tcp_hdr(skb)->seq);

	if (!length)
		return skb;
	if (seq == READ_ONCE(state->next_seq)) {
		WRITE_ONCE(state->next_seq, seq + length);
		ktlsim_count(sim, TX_PACKETS, 1);
		ktlsim_count(sim, TX_BYTES, length);
	} else {
		ktlsim_count(sim, TX_OOO, 1);
		ktlsim_count(sim, TX_FALLBACK, 1);
		/* A retransmission lies before; only what lies behind means that the place is lost. */
		if (!before(seq, READ_ONCE(state->next_seq)) && !tls_offload_tx_resync_pending(sk))
			tls_offload_tx_resync_request(sk, seq, READ_ONCE(state->next_seq));
	}
	skb = tls_encrypt_skb(skb);
	if (!skb) {
		ktlsim_count(sim, TX_DROP, 1);
		return NULL;
	}
	skb_mark_not_on_list(skb);
	return skb;
}

/* ---- receiving ---- */

static struct ktlsim_rx *ktlsim_find(struct ktlsim *sim, const struct iphdr *ip,
				     const struct tcphdr *tcp)
{
	struct ktlsim_rx *rx;

	list_for_each_entry_rcu(rx, &sim->contexts, list) {
		if (rx->saddr == ip->saddr && rx->daddr == ip->daddr && rx->sport == tcp->source &&
		    rx->dport == tcp->dest)
			return rx;
	}
	return NULL;
}

/* One TLS 1.2 AES-GCM record, RFC 5288: header, explicit nonce, ciphertext, tag. */
static int ktlsim_decrypt_record(struct ktlsim_rx *rx, u8 *record, unsigned int payload,
				 struct aead_request *request)
{
	unsigned int plain = payload - TLS_CIPHER_AES_GCM_128_IV_SIZE -
			     TLS_CIPHER_AES_GCM_128_TAG_SIZE;
	u8 nonce[12], *body = record + TLS_HEADER_SIZE + TLS_CIPHER_AES_GCM_128_IV_SIZE;
	struct scatterlist sg[2];
	u8 *aad = (u8 *)request->__ctx + crypto_aead_reqsize(rx->aead);

	memcpy(nonce, rx->salt, sizeof(rx->salt));
	memcpy(nonce + sizeof(rx->salt), record + TLS_HEADER_SIZE, TLS_CIPHER_AES_GCM_128_IV_SIZE);
	*(__be64 *)aad = cpu_to_be64(rx->record);
	aad[8] = record[0];
	aad[9] = record[1];
	aad[10] = record[2];
	aad[11] = plain >> 8;
	aad[12] = plain & 0xff;
	sg_init_table(sg, 2);
	sg_set_buf(&sg[0], aad, TLS_AAD_SPACE_SIZE);
	sg_set_buf(&sg[1], body, plain + TLS_CIPHER_AES_GCM_128_TAG_SIZE);
	aead_request_set_tfm(request, rx->aead);
	aead_request_set_callback(request, 0, NULL, NULL);
	aead_request_set_ad(request, TLS_AAD_SPACE_SIZE);
	aead_request_set_crypt(request, sg, sg, plain + TLS_CIPHER_AES_GCM_128_TAG_SIZE, nonce);
	return crypto_aead_decrypt(request);
}

static unsigned int ktlsim_record_payload(const u8 *header)
{
	return (header[3] << 8) | header[4];
}

/* Whether these bytes are nothing but whole records. */
static bool ktlsim_whole_records(const u8 *data, unsigned int length)
{
	unsigned int payload;

	while (length) {
		if (length < TLS_HEADER_SIZE)
			return false;
		payload = ktlsim_record_payload(data);
		if (payload < TLS_CIPHER_AES_GCM_128_IV_SIZE + TLS_CIPHER_AES_GCM_128_TAG_SIZE ||
		    length - TLS_HEADER_SIZE < payload)
			return false;
		data += TLS_HEADER_SIZE + payload;
		length -= TLS_HEADER_SIZE + payload;
	}
	return true;
}

/*
 * Decrypts what it can. The data of @skb belongs to the sender's retransmission queue too, so that it
 * is a copy that gets decrypted. Returns the packet to deliver.
 */
static struct sk_buff *ktlsim_decrypt(struct ktlsim *sim, struct sk_buff *skb)
{
	struct aead_request *request = NULL;
	struct sk_buff *copy = NULL;
	struct ktlsim_rx *rx;
	unsigned int offset, length, at, payload;
	struct tcphdr *tcp;
	struct iphdr *ip;
	u8 *data;

	if (list_empty(&sim->contexts) || skb->protocol != htons(ETH_P_IP))
		return skb;
	ip = ip_hdr(skb);
	if (ip->protocol != IPPROTO_TCP)
		return skb;
	tcp = tcp_hdr(skb);
	rx = ktlsim_find(sim, ip, tcp);
	offset = skb_transport_offset(skb) + tcp_hdrlen(skb);
	if (!rx || skb->len == offset)
		return skb;
	length = skb->len - offset;

	spin_lock_bh(&rx->lock);
	if (ntohl(tcp->seq) != rx->next_seq)
		goto skip;
	copy = skb_copy(skb, GFP_ATOMIC);
	if (!copy)
		goto skip;
	data = copy->data + offset;
	if (!ktlsim_whole_records(data, length))
		goto skip;
	request = kzalloc(sizeof(*request) + crypto_aead_reqsize(rx->aead) + 16, GFP_ATOMIC);
	if (!request)
		goto skip;
	for (at = 0; at < length; at += TLS_HEADER_SIZE + payload) {
		payload = ktlsim_record_payload(data + at);
		if (ktlsim_decrypt_record(rx, data + at, payload, request)) {
			ktlsim_count(sim, RX_AUTH, 1);
			goto skip;
		}
		rx->record++;
	}
	rx->next_seq += length;
	spin_unlock_bh(&rx->lock);
	kfree(request);
	copy->decrypted = 1;
	ktlsim_count(sim, RX_PACKETS, 1);
	ktlsim_count(sim, RX_BYTES, length);
	consume_skb(skb);
	return copy;

skip:
	/* The place is lost until the stack tells the next one. */
	rx->skipped_seq = ntohl(tcp->seq);
	rx->skipped_end = rx->skipped_seq + length;
	ktlsim_count(sim, RX_SKIPPED, 1);
	spin_unlock_bh(&rx->lock);
	kfree(request);
	kfree_skb(copy);
	return skb;
}

/* ---- the wire ---- */

static void ktlsim_deliver(struct net_device *dev, struct sk_buff *skb)
{
	struct ktlsim *sim = netdev_priv(dev);
	struct net_device *peer = sim->peer;
	unsigned int length = skb->len;

	if (!netif_running(peer) || !netif_carrier_ok(peer)) {
		dev->stats.tx_dropped++;
		kfree_skb(skb);
		return;
	}
	if (peer->features & NETIF_F_HW_TLS_RX)
		skb = ktlsim_decrypt(netdev_priv(peer), skb);
	if (dev_forward_skb(peer, skb) != NET_RX_SUCCESS) {
		dev->stats.tx_dropped++;
		return;
	}
	dev->stats.tx_packets++;
	dev->stats.tx_bytes += length;
	peer->stats.rx_packets++;
	peer->stats.rx_bytes += length;
}

static bool ktlsim_chance(unsigned int per_cent)
{
	return per_cent && get_random_u32() % 100 < per_cent;
}

static netdev_tx_t ktlsim_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct ktlsim *sim = netdev_priv(dev);
	bool lost = ktlsim_chance(drop);
	struct sk_buff *held;

	if (lost && ktlsim_chance(50))
		goto lose;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
	if (tls_is_skb_tx_device_offloaded(skb))
#else
	if (skb->sk && tls_is_sk_tx_device_offloaded(skb->sk))
#endif
		skb = ktlsim_encrypt(sim, skb);
	if (!skb)
		return NETDEV_TX_OK;
	if (lost)
		goto lose;
	/* dev_forward_skb() wants it to belong to nobody. */
	skb_orphan(skb);
	rcu_read_lock();
	spin_lock_bh(&sim->lock);
	held = sim->held;
	sim->held = NULL;
	if (!held && ktlsim_chance(reorder)) {
		sim->held = skb;
		skb = NULL;
	}
	spin_unlock_bh(&sim->lock);
	if (skb)
		ktlsim_deliver(dev, skb);
	if (held)
		ktlsim_deliver(dev, held);
	rcu_read_unlock();
	return NETDEV_TX_OK;

lose:
	dev->stats.tx_dropped++;
	kfree_skb(skb);
	return NETDEV_TX_OK;
}

/* ---- net/tls ---- */

static int ktlsim_add_rx(struct ktlsim *sim, struct sock *sk, struct tls_crypto_info *info, u32 seq)
{
	struct ktlsim_rx_state *state = tls_driver_ctx(sk, TLS_OFFLOAD_CTX_DIR_RX);
	struct tls12_crypto_info_aes_gcm_128 *gcm128 = (void *)info;
	struct tls12_crypto_info_aes_gcm_256 *gcm256 = (void *)info;
	bool long_key = info->cipher_type == TLS_CIPHER_AES_GCM_256;
	struct inet_sock *inet = inet_sk(sk);
	struct ktlsim_rx *rx;
	int error;

	if (sk->sk_family != AF_INET)
		return -EOPNOTSUPP;
	rx = kzalloc(sizeof(*rx), GFP_KERNEL);
	if (!rx)
		return -ENOMEM;
	rx->aead = crypto_alloc_aead("gcm(aes)", 0, CRYPTO_ALG_ASYNC);
	if (IS_ERR(rx->aead)) {
		error = PTR_ERR(rx->aead);
		goto free;
	}
	error = crypto_aead_setkey(rx->aead, long_key ? gcm256->key : gcm128->key,
				   long_key ? sizeof(gcm256->key) : sizeof(gcm128->key));
	if (!error)
		error = crypto_aead_setauthsize(rx->aead, TLS_CIPHER_AES_GCM_128_TAG_SIZE);
	if (error)
		goto free_aead;
	memcpy(rx->salt, long_key ? gcm256->salt : gcm128->salt, sizeof(rx->salt));
	rx->record = be64_to_cpu(*(__be64 *)(long_key ? gcm256->rec_seq : gcm128->rec_seq));
	rx->next_seq = seq;
	rx->saddr = inet->inet_daddr;
	rx->daddr = inet->inet_rcv_saddr;
	rx->sport = inet->inet_dport;
	rx->dport = inet->inet_sport;
	spin_lock_init(&rx->lock);
	state->context = rx;
	tls_offload_rx_resync_set_type(sk, TLS_OFFLOAD_SYNC_TYPE_CORE_NEXT_HINT);
	spin_lock_bh(&sim->lock);
	list_add_rcu(&rx->list, &sim->contexts);
	spin_unlock_bh(&sim->lock);
	return 0;

free_aead:
	crypto_free_aead(rx->aead);
free:
	kfree(rx);
	return error;
}

static int ktlsim_tls_add(struct net_device *dev, struct sock *sk,
			  enum tls_offload_ctx_dir direction, struct tls_crypto_info *info, u32 seq)
{
	struct ktlsim *sim = netdev_priv(dev);
	bool tx = direction == TLS_OFFLOAD_CTX_DIR_TX;
	int error = 0;

	if (refuse & (tx ? KTLSIM_REFUSE_TX : KTLSIM_REFUSE_RX))
		error = -EOPNOTSUPP;
	else if (info->version != TLS_1_2_VERSION ||
		 (info->cipher_type != TLS_CIPHER_AES_GCM_128 &&
		  info->cipher_type != TLS_CIPHER_AES_GCM_256))
		error = -EOPNOTSUPP;
	else if (tx)
		((struct ktlsim_tx_state *)tls_driver_ctx(sk, direction))->next_seq = seq;
	else
		error = ktlsim_add_rx(sim, sk, info, seq);
	if (error)
		ktlsim_count(sim, tx ? TX_REFUSED : RX_REFUSED, 1);
	else
		ktlsim_count(sim, tx ? TX_CTX : RX_CTX, 1);
	return error;
}

static void ktlsim_tls_del(struct net_device *dev, struct tls_context *context,
			   enum tls_offload_ctx_dir direction)
{
	struct ktlsim *sim = netdev_priv(dev);
	struct ktlsim_rx *rx;

	if (direction == TLS_OFFLOAD_CTX_DIR_TX) {
		ktlsim_count(sim, TX_DEL, 1);
		return;
	}
	rx = ((struct ktlsim_rx_state *)__tls_driver_ctx(context, direction))->context;
	spin_lock_bh(&sim->lock);
	list_del_rcu(&rx->list);
	spin_unlock_bh(&sim->lock);
	synchronize_rcu();
	crypto_free_aead(rx->aead);
	kfree_sensitive(rx);
	ktlsim_count(sim, RX_DEL, 1);
}

static int ktlsim_tls_resync(struct net_device *dev, struct sock *sk, u32 seq, u8 *record,
			     enum tls_offload_ctx_dir direction)
{
	struct ktlsim *sim = netdev_priv(dev);
	struct ktlsim_rx *rx;

	if (direction == TLS_OFFLOAD_CTX_DIR_TX) {
		struct ktlsim_tx_state *state = tls_driver_ctx(sk, direction);

		WRITE_ONCE(state->next_seq, seq);
		ktlsim_count(sim, TX_RESYNC, 1);
		return 0;
	}
	rx = ((struct ktlsim_rx_state *)tls_driver_ctx(sk, direction))->context;
	spin_lock_bh(&rx->lock);
	/*
	 * tls_device_core_ctrl_rx_resync() tells the number of the next record together with copied_seq,
	 * which since Linux 6.0 is where the record begins that has just been decrypted.
	 */
	rx->next_seq = seq == rx->skipped_seq ? rx->skipped_end : seq;
	rx->record = be64_to_cpu(*(__be64 *)record);
	spin_unlock_bh(&rx->lock);
	ktlsim_count(sim, RX_RESYNC, 1);
	return 0;
}

static const struct tlsdev_ops ktlsim_tls_ops = {
	.tls_dev_add = ktlsim_tls_add,
	.tls_dev_del = ktlsim_tls_del,
	.tls_dev_resync = ktlsim_tls_resync,
};

/* ---- ethtool ---- */

static void ktlsim_drvinfo(struct net_device *dev, struct ethtool_drvinfo *info)
{
	strscpy(info->driver, "ktlsim", sizeof(info->driver));
	strscpy(info->fw_version, "simulated", sizeof(info->fw_version));
}

static int ktlsim_sset_count(struct net_device *dev, int set)
{
	return set == ETH_SS_STATS ? KTLSIM_COUNTERS : -EOPNOTSUPP;
}

static void ktlsim_strings(struct net_device *dev, u32 set, u8 *data)
{
	if (set == ETH_SS_STATS)
		memcpy(data, ktlsim_names, sizeof(ktlsim_names));
}

static void ktlsim_stats(struct net_device *dev, struct ethtool_stats *stats, u64 *data)
{
	struct ktlsim *sim = netdev_priv(dev);
	int each;

	for (each = 0; each < KTLSIM_COUNTERS; each++)
		data[each] = atomic64_read(&sim->counters[each]);
}

static const struct ethtool_ops ktlsim_ethtool_ops = {
	.get_drvinfo = ktlsim_drvinfo,
	.get_link = ethtool_op_get_link,
	.get_sset_count = ktlsim_sset_count,
	.get_strings = ktlsim_strings,
	.get_ethtool_stats = ktlsim_stats,
};

/* ---- the interfaces ---- */

static int ktlsim_open(struct net_device *dev)
{
	netif_carrier_on(dev);
	netif_start_queue(dev);
	return 0;
}

static int ktlsim_stop(struct net_device *dev)
{
	struct ktlsim *sim = netdev_priv(dev);

	netif_stop_queue(dev);
	netif_carrier_off(dev);
	spin_lock_bh(&sim->lock);
	kfree_skb(sim->held);
	sim->held = NULL;
	spin_unlock_bh(&sim->lock);
	return 0;
}

static int ktlsim_change_carrier(struct net_device *dev, bool carrier)
{
	if (carrier)
		netif_carrier_on(dev);
	else
		netif_carrier_off(dev);
	return 0;
}

static const struct net_device_ops ktlsim_ops = {
	.ndo_open = ktlsim_open,
	.ndo_stop = ktlsim_stop,
	.ndo_start_xmit = ktlsim_xmit,
	.ndo_change_carrier = ktlsim_change_carrier,
	.ndo_set_mac_address = eth_mac_addr,
	.ndo_validate_addr = eth_validate_addr,
};

static void ktlsim_setup(struct net_device *dev)
{
	struct ktlsim *sim = netdev_priv(dev);

	ether_setup(dev);
	dev->netdev_ops = &ktlsim_ops;
	dev->ethtool_ops = &ktlsim_ethtool_ops;
	dev->tlsdev_ops = &ktlsim_tls_ops;
	/* HW_TLS_TX needs HW_CSUM, HW_TLS_RX needs RXCSUM. */
	dev->hw_features = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_TSO | NETIF_F_TSO6 |
			   NETIF_F_RXCSUM | NETIF_F_HW_TLS_TX | NETIF_F_HW_TLS_RX;
	dev->features = dev->hw_features;
	eth_hw_addr_random(dev);
	/* Else the stack does not say whether the interface is up. */
	netif_carrier_off(dev);
	spin_lock_init(&sim->lock);
	INIT_LIST_HEAD(&sim->contexts);
}

static void ktlsim_remove(int count)
{
	int each;

	for (each = 0; each < count; each++) {
		unregister_netdev(ktlsim_devices[each]);
	}
	for (each = 0; each < count; each++)
		free_netdev(ktlsim_devices[each]);
}

static int __init ktlsim_init(void)
{
	int each, error;

	for (each = 0; each < 2; each++) {
		struct net_device *dev =
			alloc_netdev(sizeof(struct ktlsim), "ktlsim%d", NET_NAME_ENUM, ktlsim_setup);

		if (!dev) {
			ktlsim_remove(each);
			return -ENOMEM;
		}
		/* Each must know the other before anything can be sent. */
		ktlsim_devices[each] = dev;
		((struct ktlsim *)netdev_priv(dev))->peer = dev;
		error = register_netdev(dev);
		if (error) {
			free_netdev(dev);
			ktlsim_remove(each);
			return error;
		}
	}
	((struct ktlsim *)netdev_priv(ktlsim_devices[0]))->peer = ktlsim_devices[1];
	((struct ktlsim *)netdev_priv(ktlsim_devices[1]))->peer = ktlsim_devices[0];
	return 0;
}
module_init(ktlsim_init);

static void __exit ktlsim_exit(void)
{
	ktlsim_remove(2);
}
module_exit(ktlsim_exit);

MODULE_DESCRIPTION("A simulated pair of network cards with TLS offload, for tests");
MODULE_LICENSE("GPL");
