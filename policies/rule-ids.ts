/**
 * The rules that a decision can name, after the policy's name and `/`. They stand in records and in users' queries:
 * none is ever renamed or given another meaning. Rules of one's own stand as `traffic/NAME`.
 */
export const RULE_IDS = [
  'governed-name',
  'plain-http',
  'name-mismatch',
  'foreign-address',
  'h2-governed-name',
  'tunnel-governed-name',
  'tunnel-provider-address',
  'tunnel',
  'tunnel-blind',
  'local',
  'link-local',
  'own-host',
  'resolver',
  'unlisted-call',
  'other-name',
  'other-name-intercepted',
  'exception',
  'unvouched-name',
  'shared-certificate',
  'no-name',
  'no-name-provider-address',
  'other-protocol',
  'other-protocol-provider-address',
  'h2-prior-knowledge',
  'h2-prior-knowledge-provider-address',
  'silent',
  'silent-provider-address',
  'encrypted-name',
  'encrypted-name-provider-address',
  'client-refused',
  'uninterceptable',
  'traffic-default',
] as const

export type RuleId = (typeof RULE_IDS)[number]
