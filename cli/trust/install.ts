/** `agent-anchor trust install`: brings every store up to date, those of users and JDKs that came later too. */
import { loadConfig } from '../../daemon/config/config.ts'
import { layout } from '../../daemon/supervisor/layout.ts'
import { openManifest } from '../../installers/manifest.ts'
import { machineTrustStores } from '../../installers/trust.ts'
import { outcomeLines, trustEverywhere } from '../../installers/trust-everywhere.ts'
import { requireRoot } from '../cli-error.ts'
import { type GlobalOptions, print, printJson } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { printable } from '../terminal.ts'
import { certificatesToTrust } from './store-rows.ts'

export async function installTrust(options: GlobalOptions): Promise<ExitCode> {
  requireRoot('trust install')
  const { caCertificate } = layout(loadConfig(options.config))
  const certificates = await certificatesToTrust(caCertificate)
  // In the manifest of the installation, so that its uninstall takes these back too.
  const outcomes = await trustEverywhere(await machineTrustStores(), certificates, await openManifest())
  if (options.json)
    printJson({ stores: outcomes.map(({ store, ...rest }) => ({ store: store.name, ...rest })) })
  else print(outcomes.map((each) => `${MARK[each.result]}  ${text(outcomeLines(each))}`).join('\n'))
  return outcomes.some(({ result }) => result === 'failed') ? ExitCode.degraded : ExitCode.healthy
}

const MARK = { installed: 'installed', kept: 'unchanged', failed: 'FAILED   ' } as const

const text = (lines: readonly string[]) =>
  lines
    .flatMap((line) => line.split('\n'))
    .map(printable)
    .join('\n           ')
