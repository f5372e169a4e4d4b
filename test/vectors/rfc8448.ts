/**
 * RFC 8448 section 3, "Simple 1-RTT Handshake", TLS_AES_128_GCM_SHA256. All values are the RFC's; the
 * tests recompute the chain from `handshakeSecret`, and the records' tags prove the rest.
 */
const hex = (digits: string): Buffer => Buffer.from(digits.replaceAll(/\s/g, ''), 'hex');

export const rfc8448 = {
  clientHello: hex(`
    010000c00303cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece70000061301130313
    02010000910000000b0009000006736572766572ff01000100000a00140012001d00170018001901000101010201
    0301040023000000330026002400 1d002099381de560e4bd43d23d8e435a7dbafeb3c06e51c13cae4d5413691e52
    9aaf2c002b0003020304000d0020001e040305030603020308040805080604010501060102010402050206020202
    002d00020101001c00024001`),
  serverHello: hex(`
    020000560303a6af06a4121860dc5e6e60249cd34c95930c8ac5cb1434dac155772ed3e269280013010000 2e0033
    0024001d0020c9828876112095fe66762bdbf7c672e156d6cc253b833df1dd69b1b04e751f0f002b00020304`),
  serverRandom: hex('a6af06a4121860dc5e6e60249cd34c95930c8ac5cb1434dac155772ed3e26928'),

  handshakeSecret: hex('1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac'),
  /** Hash of ClientHello and ServerHello. */
  helloHash: hex('860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8'),
  derivedForMaster: hex('43de77e0c77713859a944db9db2590b53190a65b3ee2e4f12dd7a0bb7ce254b4'),
  masterSecret: hex('18df06843d13a08bf2a449844c5f8a478001bc4d4c627984d5a41da8d0402919'),
  /** Hash of everything up to the server's Finished. */
  finishedHash: hex('9608102a0f1ccc6db6250b7b7e417b1a000eaada3daae4777a7686c9ff83df13'),

  handshake: {
    client: {
      secret: hex('b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21'),
      key: hex('dbfaa693d1762c5b666af5d950258d01'),
      iv: hex('5bd3c71b836e0b76bb73265f'),
      finishedKey: hex('b80ad01015fb2f0bd65ff7d4da5d6bf83f84821d1f87fdc7d3c75b5a7b42d9c4'),
      /** The client's Finished is HMAC(finishedKey, `finishedHash`). */
      verifyData: hex('a8ec436d677634ae525ac1fcebe11a039ec17694fac6e98527b642f2edd5ce61'),
    },
    server: {
      secret: hex('b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38'),
      key: hex('3fce516009c21727d0f2e4e86ee403bc'),
      iv: hex('5d313eb2671276ee13000b30'),
    },
  },
  application: {
    client: {
      secret: hex('9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5'),
      key: hex('17422dda596ed5d9acd890e3c63f5051'),
      iv: hex('5b78923dee08579033e523d9'),
      /** In order from sequence number 0: 50 bytes of data, close_notify. */
      records: [
        hex(`1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd5
             4a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4`),
        hex('1703030013c9872760655666b74d7ff1153efd6db6d0b0e3'),
      ],
    },
    server: {
      secret: hex('a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643'),
      key: hex('9f02283b6c9c07efc26bb9f2ac92e356'),
      iv: hex('cf782b88dd83549aadf1e984'),
      /** In order from sequence number 1 (0 is a ticket): 50 bytes of data, close_notify. */
      records: [
        hex(`17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc60
             2dcb501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d`),
        hex('1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9'),
      ],
    },
  },
  /** Bytes 00 to 31. */
  data: Buffer.from(Array.from({ length: 50 }, (_, index) => index)),
  newSessionTicket: hex(`
    040000c90000001efad6aac502000000b22c035d829359ee5ff7af4ec900000000262a6494dc486d2c8a34cb33fa
    90bf1b0070ad3c498883c9367c09a2be785abc55cd226097a3a982117283f82a03a143efd3ff5dd36d64e861be7f
    d61d2827db279cce145077d454a3664d4e6da4d29ee03725a6a4dafcd0fc67d2aea70529513e3da2677fa5906c5b
    3f7d8f92f228bda40dda721470f9fbf297b5aea617646fac5c03272e970727c621a79141ef5f7de6505e5bfbc388
    e93343694093934ae4d3570008002a000400000400`),
} as const;
