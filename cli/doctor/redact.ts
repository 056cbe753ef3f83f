/** Takes out of a text whatever may be a secret, for whom it is handed on to. Errs on the side of taking too much. Pure. */
const GONE = '[removed]'

const SECRETS: readonly (readonly [RegExp, string])[] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g, GONE],
  // Where an endpoint asks for a key it stands in the path, the query or before the host.
  [/\b(https?|wss?):\/\/(?:[^\s/@'"]*@)?([^\s/'"?#,\]}]+)[^\s'",\]}]*/gi, `$1://$2/${GONE}`],
  [/\b(bearer|basic|digest)\s+[A-Za-z0-9._~+/=-]+/gi, `$1 ${GONE}`],
  [/\b(sk|pk|rk|ghp|gho|ghs|github_pat|xox[abprs]|AKIA|ASIA|AIza|glpat|hf|gsk)[-_A-Za-z0-9]{8,}/g, GONE],
  [/\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)?/g, GONE],
  // A name that says so, and what is assigned to it.
  [
    /(["']?[\w.-]*(?:password|passphrase|passwd|secret|token|api[-_]?key|authorization|cookie|credential|mnemonic|\bpin)\w*["']?\s*[:=]\s*)("(?:[^"\\]|\\.)*"|'[^']*'|[^\s,}]+)/gi,
    `$1${GONE}`,
  ],
]

export const redacted = (text: string): string =>
  SECRETS.reduce((left, [secret, instead]) => left.replace(secret, instead), text)
