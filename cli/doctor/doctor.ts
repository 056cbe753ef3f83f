/** All that doctor looks at: whether enforcement holds at this moment, and what on the machine stands in capture's way. */
import { type ClientVariable, clientEnvironment } from '../../ca/client-environment.ts'
import { systemBundlePath } from '../../ca/system-roots.ts'
import { account, PROXY_ACCOUNT, RECORDER_ACCOUNT, SENSOR_ACCOUNT } from '../../daemon/supervisor/accounts.ts'
import { CANARY_NAME } from '../../daemon/supervisor/canary.ts'
import type { Evidence } from '../evidence.ts'
import { asItComes, type Check } from './check.ts'
import { enforcement } from './enforcement.ts'
import { lately } from './lately.ts'
import { machineChecks } from './machine.ts'
import { type Refuser, refusers } from './refusers.ts'

/**
 * Yields each check as it ends. Tries of ways round go one after the other, since a counter's move must be theirs; all
 * else goes beside them.
 * @param evidence of the gateway that runs on this machine
 */
export async function* examine(evidence: Evidence): AsyncGenerator<Check> {
  const variables = variablesOf(evidence)
  const accounts = [PROXY_ACCOUNT, RECORDER_ACCOUNT, SENSOR_ACCOUNT]
  const own = new Set((await Promise.all(accounts.map((name) => account(name)))).map(({ uid }) => uid))
  yield* asItComes([enforcement(evidence, variables), ...machineChecks({ evidence, variables, own })])
}

/** Clients of the last day that could not be intercepted. */
export function refusersLately(evidence: Evidence): Refuser[] {
  const remedies = { variables: variablesOf(evidence), certificateFile: evidence.paths.caCertificate }
  return (
    (['refusal', 'exchange'] as const)
      .flatMap((kind) => refusers(lately(evidence, kind), remedies))
      // Of runtimes that doctor itself called with, its checks say more.
      .filter(({ serverName }) => serverName !== CANARY_NAME)
  )
}

const variablesOf = ({ paths }: Evidence): ClientVariable[] =>
  clientEnvironment({ certificateFile: paths.caCertificate, bundleFile: systemBundlePath() })
