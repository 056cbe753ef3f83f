/**
 * Every state of health there is, with what it means: a closed list, dotted by room. Codes are stable: monitoring goes
 * by them. docs/operating.md has a row for each (test/unit/health-codes.test.ts), and the whole run demands of each a
 * test that causes it and sees its remedy work (test/runner/health-report.ts).
 */
export const HEALTH_CODES = {
  'daemon.not-running': 'calls to providers are refused as long as the fence stands',
  'daemon.phase': 'starting or stopping',
  'daemon.hangs': 'the main process was stopped, or has said nothing for half a minute',
  'daemon.state-unreadable': "what the gateway says of itself can't be read; whether it runs can't be told",
  'daemon.state-unknown': 'what the gateway says of itself is of another version, or damaged',
  'daemon.evidence-damaged':
    'evidence that a killed gateway left was damaged: what can be read is in the log, with a gap that tells of the rest',

  'enforcement.redirect': 'the redirect is down: calls are refused instead of captured',
  'enforcement.fence': 'the fence does not stand',
  'enforcement.unfenced':
    'no fence stood when the gateway started, though one should have: until then providers could be reached past it',
  'enforcement.addresses': 'no provider address is known',
  'enforcement.names': 'no name server answers: addresses that providers have got since are not known',
  'enforcement.unwatched': "`nft monitor` can't be had: changes are looked for instead",
  'enforcement.egress': "the kernel can't judge raw frames where they leave a device",
  'enforcement.driver-queues':
    "another program has a queue of an uplink's driver, or the kernel refuses to give it: AF_XDP sockets can send past the rules there",
  'enforcement.tampered': "somebody changed the gateway's rules; they were restored",

  'sensor.blind': 'the leak sensor does not see a source; refusals are still counted',

  'policy.rejected': "the policy's files were read again and not taken; the policy before them holds",
  'policy.missing-accounts': "the policy names users or groups that don't exist",

  'ca.not-yet-valid': "by this machine's clock the CA isn't valid yet: governed calls fail",
  'ca.expired': 'the CA has ended: governed calls fail',
  'ca.expiring': 'the CA ends within 30 days',
  'ca.outgrown': 'the catalogue has domains that the CA may not speak for',
  'ca.too-wide': 'the CA may speak for every site, which the policy no longer needs',
  'ca.not-distributed': "the CA's successor is not in every trust store yet",
  'ca.former-trusted': "the CA's successor signs, and the former one is still trusted",

  'process.recorder': 'the child is not running: calls get 503',
  'process.proxy': "one of the proxy's workers is not running",
  'process.dns-guard': 'the DNS guard is not running: no name is answered',
  'process.development-chain': 'the development chain is not running; recording goes on',
  'process.sensor': 'the leak sensor is not running; refusals are still counted',
  'process.log-server': 'the log is not served; recording goes on',
  'process.witness': 'other logs get no cosignature of this witness; recording goes on',
  'process.witness-client': 'new checkpoints are not cosigned; recording goes on',

  'log-server.not-listening':
    "the port is another program's, or the address not this machine's; recording goes on",
  'witness.not-listening':
    "the port is another program's, or the address not this machine's; recording goes on",
  'witness.too-few': 'fewer than `atLeast` witnesses cosign new checkpoints; recording and anchoring go on',
  'witness.contradiction': 'a witness holds another history of this log',

  'recorder.silent': "the recorder doesn't answer: calls get 503",
  'recorder.journal': "the journal can't be written: calls get 503",
  'recorder.finalise': "records wait in the journal: ledger, packs or index can't be written",
  'recorder.space':
    'less than four reserves are free on the file system of the records; below one, new calls get 503',
  'recorder.erasure': 'content that the log has as erased is still in a damaged pack',

  'anchoring.blocked':
    'new governed calls are refused: too few chains take an anchor, or the lag is too long',
  'anchoring.lag': 'the oldest record without an anchor is older than `anchoring.maxLagMs`',

  'chain.stopped': 'the chain-writer ended; recording goes on',
  'chain.behind': 'the newest checkpoint waits for more than three times `maxDelayMs`',
  'chain.endpoint-unwell': 'one of several endpoints failed three times or more in a row and is passed over',
  'chain.unconfirmed': 'one endpoint says something grave that no other bears out',
  'chain.not-final': 'one endpoint calls the anchor final and no second one does',
  'chain.stalled': 'no block came since the transaction was sent',
  'chain.low-funds': 'the account pays for fewer than 20 anchors',
  'chain.over-budget':
    "the day's budget does not pay for the next transaction; the title says until when it waits",
  'chain.rpc-unreachable': 'no answer',
  'chain.rpc-refused': 'the endpoint answered with an error',
  'chain.rpc-garbage': 'an answer that no honest node gives',
  'chain.wrong-chain': 'the endpoint serves another chain',
  'chain.wrong-contract': 'no AnchorRegistry of this version at `contract`, or after two deployments',
  'chain.unfunded': "the gateway's account can't pay",
  'chain.fees-too-high': 'gas, or an anchor, costs more than its cap',
  'chain.not-authorized':
    "the log's owner hasn't authorised the gateway, or not any more; the title says why",
  'chain.authorization-expiring': "the owner's authorisation ends within 30 days",
  'chain.policy-fixed': 'the log is registered under another policy than the configuration says',
  'chain.reverted': 'the contract refused, or a mined transaction failed',
  'chain.no-consistency-proof': 'a CONSISTENT log has no proof for the next head',
  'chain.ledger-behind': 'the chain holds a larger tree than the ledger: it was put back',
  'chain.equivocation': 'the chain holds another root than the ledger for one size',
  'chain.checkpoint-conflict': 'the ledger signed two roots for one size',
  'chain.lost-anchors': 'the chain no longer has some anchors; the newest checkpoint is anchored again',
  'chain.state-damaged': "a state file was damaged and set aside, or an authorisation can't be read",
  'chain.development-state-damaged': 'the development chain began anew',
  'chain.state': "the chain-writer's state could not be read or written",
  'chain.failed': 'a fault of the gateway',
} as const satisfies Readonly<Record<string, string>>

export type HealthCode = keyof typeof HEALTH_CODES
