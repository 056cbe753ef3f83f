/** Pieces of nft's language: pure text, one command a line. */

/** How the commands of one table are written. */
export interface TableText {
  /** `add('chain output')`, `add('rule output accept')`, `add('set llm4 { … }')`. */
  add(what: string): string
  /** Adds elements to a set; nothing where there are none, since nft refuses an empty list. */
  elements(set: string, values: readonly (string | number)[]): string[]
  /** Makes these the elements of a set, whatever it holds. */
  replace(set: string, values: readonly (string | number)[]): string[]
  /** A command about the table itself: `flush`, `delete`. */
  whole(verb: 'add' | 'delete' | 'flush'): string
}

export function tableText(family: 'inet' | 'netdev', table: string): TableText {
  const elements = (set: string, values: readonly (string | number)[]) =>
    values.length === 0 ? [] : [`add element ${family} ${table} ${set} { ${values.join(', ')} }`]
  return {
    add: (what) => `add ${what.replace(' ', ` ${family} ${table} `)}`,
    elements,
    replace: (set, values) => [`flush set ${family} ${table} ${set}`, ...elements(set, values)],
    whole: (verb) => `${verb} table ${family} ${table}`,
  }
}

export function script(commands: readonly string[]): string {
  return `${commands.join('\n')}\n`
}

/** One value, or a list of them where there are several. */
export function oneOf(values: readonly (string | number)[]): string {
  return values.length === 1 ? `${values[0]}` : `{ ${values.join(', ')} }`
}

export const quoted = (texts: readonly string[]) => texts.map((text) => `"${text}"`)

/** By number: nft reads names from /etc/protocols, which a minimal system lacks. */
export const TCP_OR_UDP = 'meta l4proto { 6, 17 }'
/** The socket's user, whoever it is: matches packets of sockets that a process (still) holds. */
export const HAS_SOCKET = 'meta skuid >= 0'
/** Every packet that the machine's own IP stack routed, and no frame from elsewhere, has a routing realm, if only 0. */
export const WAS_ROUTED = 'meta rtclassid >= 0'
/**
 * Packets to known LLM addresses. An IPv4 address also hides in the last 32 bits of an IPv6 one: behind the NAT64
 * prefix of the network, whichever of 96 bits that is (RFC 6052; shorter prefixes, which scatter the address, are
 * rare and not looked for), and in ISATAP's. By chance, one in 2^32 of the other hosts ends in a known address.
 */
export const TO_PROVIDERS = [
  'ip daddr @llm4',
  'ip6 daddr @llm6',
  'ip6 daddr & ::ffff:ffff @llm4_carried',
] as const
/** The same of frames, without the look into IPv6 addresses: every element is loaded into each table. */
export const FRAMES_TO_PROVIDERS = [TO_PROVIDERS[0], TO_PROVIDERS[1]] as const
/** Of NAT64 (RFC 6052). */
export const WELL_KNOWN_NAT64 = 'ip6 daddr 64:ff9b::/96'
/** A lone SYN: the opening of a connection. */
export const SYN = 'tcp flags & (fin | syn | rst | ack) == syn'
/** Of DNS over TLS (RFC 7858) and over QUIC (RFC 9250). */
export const ENCRYPTED_DNS_PORT = 853
