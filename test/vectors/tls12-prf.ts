/** Published vectors of TLS 1.2's PRF; `openssl kdf … TLS1-PRF` agrees with every one of them. */
const hex = (digits: string): Buffer => Buffer.from(digits.replaceAll(/\s/g, ''), 'hex');

/** https://mailarchive.ietf.org/arch/msg/tls/fzVCzk-z3FShgGJ6DOXqM1ydxms/ */
export const prfVectors = [
  {
    hash: 'sha256',
    secret: hex('9bbe436ba940f017b17652849a71db35'),
    label: 'test label',
    seed: hex('a0ba9f936cda311827a6f796ffd5198c'),
    output: hex(`
      e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14
      baf9af0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e
      5a5110fff70187347b66`),
  },
  {
    hash: 'sha384',
    secret: hex('b80b733d6ceefcdc71566ea48e5567df'),
    label: 'test label',
    seed: hex('cd665cf6a8447dd6ff8b27555edb7465'),
    output: hex(`
      7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe34f82b1233c
      9146a0e534cb400fed2700884f9dc236f80edd8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abf
      dad05d9184259b5bf8cd4d90fa0d31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee691c8f3a2685430
      8d5eaa3be85e0990703d73e56f`),
  },
] as const;

/** NIST CAVP (SP 800-135, TLS 1.2, SHA-256): the whole key block of one connection. */
export const keyExpansionVector = {
  masterSecret: hex(`
    202c88c00f84a17a20027079604787461176455539e705be730890602c289a5001e34eeb3a043e5d52a65e66125188bf`),
  serverRandom: hex('ae6c806f8ad4d80784549dff28a4b58fd837681a51d928c3e30ee5ff14f39868'),
  clientRandom: hex('62e1fd91f23f558a605f28478c58cf72637b89784d959df7e946d3f07bd1b616'),
  keyBlock: hex(`
    d06139889fffac1e3a71865f504aa5d0d2a2e89506c6f2279b670c3e1b74f531016a2530c51a3a0f7e1d6590d0f0
    566b2f387f8d11fd4f731cdd572d2eae927f6f2f81410b25e6960be68985add6c38445ad9f8c64bf8068bf9a6679
    485d966f1ad6f68b43495b10a683755ea2b858d70ccac7ec8b053c6bd41ca299d4e51928`),
};
