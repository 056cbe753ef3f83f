/** Field and parameter names that are taken to carry a secret although nobody has listed them. */
const SECRET = /token|secret|password|passwd|api-?_?key|auth|credential|session-?_?key|private-?_?key/
/** Names that hit the pattern and are known to carry none: counters, challenges, routing. */
const HARMLESS =
  /^(www-authenticate|proxy-authenticate|:?authority)$|ratelimit|rate-limit|max-?_?(\w+_)?tokens$|token-?_?(count|limit)/

/** Longer names are the sender's play; they get no second look (whose pattern is quadratic). */
const MAX_HARMLESS = 64

/** @param name lower case */
export const looksSecret = (name: string): boolean =>
  SECRET.test(name) && !(name.length <= MAX_HARMLESS && HARMLESS.test(name))
