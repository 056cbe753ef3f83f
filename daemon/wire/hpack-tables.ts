/** The tables of HPACK (RFC 7541). */

/** Names of the static table (appendix A) with how many entries in a row have each; index 1 is the first. */
const STATIC =
  ':authority :method*2 :path*2 :scheme*2 :status*7 accept-charset accept-encoding accept-language accept-ranges ' +
  'accept access-control-allow-origin age allow authorization cache-control content-disposition content-encoding ' +
  'content-language content-length content-location content-range content-type cookie date etag expect expires from ' +
  'host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified link location ' +
  'max-forwards proxy-authenticate proxy-authorization range referer refresh retry-after server set-cookie ' +
  'strict-transport-security transfer-encoding user-agent vary via www-authenticate'

const STATIC_NAMES: readonly string[] = STATIC.split(' ').flatMap((entry) => {
  const [name = '', times = '1'] = entry.split('*')
  return Array<string>(Number(times)).fill(name)
})

/** Values of the static table by index; the entries that aren't here have an empty one. */
const STATIC_VALUES = new Map([
  [2, 'GET'],
  [3, 'POST'],
  [4, '/'],
  [5, '/index.html'],
  [6, 'http'],
  [7, 'https'],
  [8, '200'],
  [9, '204'],
  [10, '206'],
  [11, '304'],
  [12, '400'],
  [13, '404'],
  [14, '500'],
  [16, 'gzip, deflate'],
])

/** Index 1 is the first. */
export const STATIC_ENTRIES = STATIC_NAMES.map((name, i) => ({ name, value: STATIC_VALUES.get(i + 1) ?? '' }))

/**
 * Bits of each symbol's Huffman code (appendix B), in base 36: 0 to 255, then EOS. The code is canonical, so these say
 * it all: codes of one length follow each other in the order of their symbols, longer ones after shorter ones.
 */
const LENGTHS =
  'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca' +
  'd67777777777777777777777878djde6f56565666577666567655677777fbeds' +
  'kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn' +
  'qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq' +
  'u'

export interface CodeLength {
  /** The first code of this length. */
  readonly first: number
  readonly symbols: readonly number[]
}

/** By length in bits; empty where no code has it. */
export const HUFFMAN: readonly CodeLength[] = codes([...LENGTHS].map((digit) => Number.parseInt(digit, 36)))

export const EOS = 256

function codes(lengths: readonly number[]): CodeLength[] {
  const all: CodeLength[] = [{ first: 0, symbols: [] }]
  for (let bits = 1; bits <= Math.max(...lengths); bits++) {
    const shorter = all[bits - 1] as CodeLength
    const symbols = lengths.flatMap((length, symbol) => (length === bits ? [symbol] : []))
    all.push({ first: (shorter.first + shorter.symbols.length) * 2, symbols })
  }
  return all
}
