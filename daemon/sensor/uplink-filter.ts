/**
 * What of an uplink's traffic the kernel hands over, as a pcap filter expression (pcap-filter(7)): pure. A machine
 * may send gigabits; the filter lets pass, of what goes out (outgoing-only.ts),
 *
 * - TCP segments that begin like a TLS handshake, or like the alerts that may stand before one;
 * - small TCP segments from a higher port to a lower one, as a client's go to a server: the rest of a ClientHello that
 *   is cut up, but neither the full segments of bulk data nor a server's answers;
 * - QUIC long headers of the versions that can be opened;
 * - fragments and IPv6 extension headers of both, which hide what they carry from such an expression.
 *
 * What can't be told without remembering connections: a ClientHello of more than two full segments whose name stands
 * in a middle one. Nobody sends such by accident (the largest today are two kilobytes).
 */

/** More than the rest of any ClientHello after a full segment; less than a full one of Ethernet's (1448). */
const SMALL = 1400
const VERSIONS = [0x0000_0001, 0x6b33_43cf]
/** See ip-packet.ts. */
const EXTENSIONS = [0, 43, 44, 51, 60, 135, 139, 140]
const TCP = 6
const UDP = 17

const any = (...conditions: string[]) => `(${conditions.join(' or ')})`
const all = (...conditions: string[]) => `(${conditions.join(' and ')})`

export function uplinkFilter(): string {
  // `tcp[…]` means IPv4 only, and no later fragments; IPv6's headers are counted from its own beginning.
  const four = all(
    'ip',
    any(
      all('ip[6:2] & 0x3fff != 0', any(`ip proto ${TCP}`, `ip proto ${UDP}`)),
      all(
        'tcp',
        hello((at, size) => `tcp[${at}${size}]`, '(ip[2:2] - ((ip[0] & 0x0f) << 2))'),
      ),
      all(
        'udp',
        quic((at, size) => `udp[${at}${size}]`),
      ),
    ),
  )
  const past = (at: string, size: string) => `ip6[40 + ${at}${size}]`
  const six = all(
    'ip6',
    any(
      ...EXTENSIONS.map((number) => `ip6[6] = ${number}`),
      all(`ip6[6] = ${TCP}`, hello(past, 'ip6[4:2]')),
      all(`ip6[6] = ${UDP}`, quic(past)),
    ),
  )
  return any(four, six)
}

type Field = (at: string, size: string) => string

/** @param length bytes from the TCP header on */
function hello(tcp: Field, length: string): string {
  const header = `((${tcp('12', '')} & 0xf0) >> 2)`
  const data = `(${length} - ${header})`
  const first = all(`${tcp(header, '')} >= 20`, `${tcp(header, '')} <= 22`)
  // A read past the end refuses the packet at once: the shorter ones must have passed by then.
  return any(
    all(`${data} > 0`, `${data} <= ${SMALL}`, `${tcp('0', ':2')} > ${tcp('2', ':2')}`),
    all(`${data} = 1`, first),
    all(`${data} != 0`, first, `${tcp(`${header} + 1`, '')} = 3`),
  )
}

function quic(udp: Field): string {
  const version = udp('9', ':4')
  return all(`${udp('8', '')} & 0x80 != 0`, any(...VERSIONS.map((number) => `${version} = ${number}`)))
}
