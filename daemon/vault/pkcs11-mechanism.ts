/** How the token's key encrypts the wrapping key. */
export const MECHANISMS = ['aes-gcm', 'rsa-oaep'] as const
export type MechanismName = (typeof MECHANISMS)[number]
