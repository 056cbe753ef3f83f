/** An opened Ed25519 key, on whatever platform. */
export interface SigningKey<Bytes extends Uint8Array> {
  /** 32 bytes. */
  readonly publicKey: Bytes
  /** 64 bytes. */
  sign(message: Uint8Array): Bytes
}
