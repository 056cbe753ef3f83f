/** The rules under which packets are refused, or seen where nothing is refused, and how each is told. */

/** Each logs with the prefix `aa:<rule> ` and has a counter, see {@link counterOf}. */
export const REFUSAL_RULES = [
  /** To an LLM address, or with a fence around everything to anywhere, past the proxy. */
  'tcp',
  'udp',
  'quic',
  'icmp',
  'other',
  /** In the name of another machine, so that connection tracking would take what follows for answers. */
  'forged',
  /** DNS over TLS or QUIC. */
  'dot',
  /** A port of the gateway's own, dialled instead of redirected to. */
  'direct',
  /** A socket bound to a device, which a redirect can't turn round. */
  'bound',
  'guarded',
  /** A local service that is to be captured. */
  'local',
  /** The opening of a connection that should have been redirected and was not. */
  'unredirected',
  /** What a user or a flow goes on sending to where it called a governed name past the proxy. */
  'cut',
  /** Frames that passed no hook of the IP stack: AF_PACKET, macvlan, ipvlan. */
  'egress-tcp',
  'egress-udp',
  'egress-other',
  /** IP hidden in a frame that claims to be something else. */
  'egress-frame',
  /** With a fence around nothing: passed, and counted. */
  'seen-tcp',
  'seen-udp',
  'seen-quic',
  'seen-other',
  'seen-egress',
] as const

export type RefusalRule = (typeof REFUSAL_RULES)[number]

/** Rules whose counters had names of their own before there was a list. */
const NAMED: Partial<Record<RefusalRule, string>> = {
  direct: 'direct_dial',
  bound: 'bound_device',
  guarded: 'guarded_port',
}

/** Name of the rule's counter, in each of our tables that has the rule. */
export function counterOf(rule: RefusalRule): string {
  const named = NAMED[rule]
  if (named !== undefined) return named
  const plain = rule.replace('-', '_')
  return rule.includes('-') ? plain : `refused_${plain}`
}

/** Text that counts and logs a packet under a rule, to be followed by a verdict. */
export function tells(rule: RefusalRule, logGroup: number): string {
  return `counter name ${counterOf(rule)} log prefix "aa:${rule} " group ${logGroup}`
}
