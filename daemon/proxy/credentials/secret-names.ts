/** Field and parameter names that are taken to carry a secret although nobody has listed them. */
const SECRET =
  /token|secret|password|passwd|passphrase|api-?_?key|auth|credential|session-?_?key|private-?_?key|signature|bearer|jwt|assertion/
/** `Ocp-Apim-Subscription-Key` of Azure, `x-key`, `x-gladia-key`, `x-portkey-virtual-key`; Azure's `sig`. */
const SECRET_END = /(?:^|[-_.])(?:key|sig|pwd|pass)$/
/** Names that hit a pattern and are known to carry none: counters, challenges, routing, what is signed. */
const HARMLESS =
  /^(www-authenticate|proxy-authenticate|:?authority|sec-websocket-key|signature-input)$|ratelimit|rate-limit|max-?_?(\w+_)?tokens$|token-?_?(count|limit)|(idempotency|cache|surrogate|partition|routing|public|sort)-?_?key$/

/** Longer names are the sender's play; they get no second look (whose pattern is quadratic). */
const MAX_HARMLESS = 64

/** @param name lower case */
export const looksSecret = (name: string): boolean =>
  (SECRET.test(name) || SECRET_END.test(name)) && !(name.length <= MAX_HARMLESS && HARMLESS.test(name))
