/** Why the harness itself failed; a command's own failure is its exit status, never one of these. */
export type VmErrorCode =
  /** An option or argument is wrong. */
  | 'ERR_KTLS_VM_USAGE'
  /** This host's architecture or system is not one that the harness knows. */
  | 'ERR_KTLS_VM_UNSUPPORTED_HOST'
  /** A host program is missing and could not be installed; the message has the command. */
  | 'ERR_KTLS_VM_TOOL_MISSING'
  /** A host program (apt-get, dpkg-deb, cpio, ...) failed. */
  | 'ERR_KTLS_VM_TOOL_FAILED'
  /** apt knows no Debian archive to take a kernel from. */
  | 'ERR_KTLS_VM_NO_ARCHIVE'
  /** A package does not hold what was expected of it. */
  | 'ERR_KTLS_VM_BAD_PACKAGE'
  /** virtiofsd did not come up. */
  | 'ERR_KTLS_VM_SHARE'
  /** The guest could not be set up; the message is the guest's. */
  | 'ERR_KTLS_VM_GUEST'
  /** The guest ended without a verdict: a panic, or QEMU fell over. */
  | 'ERR_KTLS_VM_NO_VERDICT'
  /** More than one verdict, or one that cannot be read. */
  | 'ERR_KTLS_VM_BAD_VERDICT'
  /** The deadline passed. */
  | 'ERR_KTLS_VM_TIMEOUT'
  /** The caller's signal ended the run. */
  | 'ERR_KTLS_VM_ABORTED';

/** The one error class of the harness. */
export class VmError extends Error {
  readonly code: VmErrorCode;

  constructor(code: VmErrorCode, message: string) {
    super(message);
    this.name = 'VmError';
    this.code = code;
  }
}
