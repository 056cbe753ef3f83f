/** `agent-anchor keys …`: what keys there are, new ones in their place, keys from elsewhere, and what seals them. */
import { readFile } from 'node:fs/promises'
import { Argument, Option } from 'commander'
import { readHistory } from '../../daemon/vault/history.ts'
import { IMPORTABLE, type Importable, importedKey } from '../../daemon/vault/import-key.ts'
import { KEY_NAMES, type KeyName } from '../../daemon/vault/key-kinds.ts'
import { rewrap } from '../../daemon/vault/rewrap.ts'
import { secretSource } from '../../daemon/vault/secret-source.ts'
import { PROVIDERS, type ProviderName } from '../../daemon/vault/wrapping-key.ts'
import { serviceManager } from '../../installers/services/find.ts'
import { FileUnusable } from '../cli-error.ts'
import { type GlobalOptions, print, printJson, type Register } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { listKeys, listRows } from '../keys/list.ts'
import { openKeysPlace } from '../keys/place.ts'
import { type Rotated, rotate, rotatedText } from '../keys/rotate.ts'
import { descriptor } from '../secrets.ts'
import { table } from '../terminal.ts'
import { rotateCa } from '../trust/rotate-command.ts'

const codeOf = ({ state }: Rotated): ExitCode =>
  state === 'no-answer' ? ExitCode.degraded : ExitCode.healthy

export const keys: Register = (program, act) => {
  const command = program
    .command('keys')
    .description("the gateway's keys: list, rotate, import, move to another vault")

  command
    .command('list')
    .description('ids, kinds and ages of the keys, and what seals them; never a key')
    .action(
      act(async (options) => {
        const listed = await listKeys(await openKeysPlace(options, 'keys list'))
        if (options.json) printJson({ keys: listed })
        else print(table([['key', 'kind', 'age', 'sealed by', 'id'], ...listRows(listed, new Date())]))
        return ExitCode.healthy
      }),
    )

  command
    .command('rotate')
    .addArgument(new Argument('<name>', 'which key').choices([...KEY_NAMES, 'ca']))
    .description('put a new key in the place of one; the log holds a record that both signed')
    .action(
      act(async (options, name) => {
        if (name === 'ca') return rotateCa(options)
        const rotated = await rotate(await openKeysPlace(options, 'keys rotate'), name as KeyName)
        if (options.json) printJson(rotated)
        else print(rotatedText(rotated))
        return codeOf(rotated)
      }),
    )

  command
    .command('export-public')
    .description("what verifiers need: the log's verifier keys with their history, the gateway's account")
    .action(
      act(async (options) => {
        const place = await openKeysPlace(options, 'keys export-public')
        const listed = await listKeys(place)
        const history = await readHistory(place.paths.keysDirectory)
        const idOf = (name: string) => listed.find((key) => key.name === name)?.id
        const document = {
          origin: place.origin,
          verifierKey: idOf('log'),
          gateway: idOf('gateway'),
          caSha256: idOf('ca'),
          history: history.filter(({ key }) => key === 'log' || key === 'gateway'),
        }
        if (options.json) printJson(document)
        else print(`${document.verifierKey}\n`)
        return ExitCode.healthy
      }),
    )

  command
    .command('import')
    .addArgument(new Argument('<name>', 'which key').choices([...IMPORTABLE]))
    .argument('<file>', 'log: encrypted PKCS#8 in PEM (Ed25519); gateway: keystore v3')
    .addOption(new Option('--file-passphrase-fd <n>', "read the file's passphrase from this descriptor"))
    .description('put a key from elsewhere in the place of one, as `rotate` does')
    .action(
      act(async (options, name, file) => {
        const { filePassphraseFd } = options as GlobalOptions & { filePassphraseFd?: string }
        const fd = descriptor('--file-passphrase-fd', filePassphraseFd)
        const place = await openKeysPlace(options, 'keys import')
        const bytes = await readFile(file ?? '').catch((error: unknown) => {
          throw new FileUnusable('read', file ?? '', error)
        })
        const secrets = secretSource(fd === undefined ? {} : { fds: { passphrase: fd } })
        const secret = await importedKey(name as Importable, { name: file ?? '', bytes }, secrets)
        try {
          const rotated = await rotate(place, name as KeyName, secret)
          if (options.json) printJson(rotated)
          else print(rotatedText(rotated))
          return codeOf(rotated)
        } finally {
          secret.fill(0)
        }
      }),
    )

  command
    .command('rewrap')
    .addOption(
      new Option('--to <provider>', 'what is to seal the keys').choices([...PROVIDERS]).makeOptionMandatory(),
    )
    .description('move all keys to another provider of the vault; nothing is lost at any instant')
    .action(
      act(async (options) => {
        const { to } = options as GlobalOptions & { to: ProviderName }
        const { place, config } = await openKeysPlace(options, 'keys rewrap')
        const done = await rewrap(place, to)
        // The unit is handed what the new provider keeps.
        await serviceManager(config).renew(config)
        if (options.json) printJson(done)
        else {
          print(`sealed by ${done.description}: ${[...done.moved, ...done.stayed].join(', ')}`)
          print('A gateway that runs seals as before until it is started again.')
          const { provider } = config.vault
          if (provider !== 'auto' && provider !== to)
            print(`Set vault.provider: ${to} in gateway.yaml before the next start.`)
        }
        return ExitCode.healthy
      }),
    )
}
