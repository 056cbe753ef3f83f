/**
 * The canary: a provider of our own with which install and doctor prove that capture works, without a key and
 * without the internet. Its name is in the catalogue; its address is of TEST-NET-1 (RFC 5737), which no real
 * host has.
 */
export const CANARY_NAME = 'canary.agent-anchor.internal'
export const CANARY_ADDRESS = '192.0.2.2'
/** The machine's end of the link to it. */
export const CANARY_GATEWAY = '192.0.2.1'
export const CANARY_PREFIX = 30
/** The machine's device of that link: it comes and goes with each proof, and leads nowhere but to the canary. */
export const CANARY_LINK = 'aa-canary'
