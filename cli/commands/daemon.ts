/** `agent-anchor daemon`: the gateway in the foreground, in whatever namespace it is started. */
import { loadConfig } from '../../daemon/config/config.ts'
import { type Daemon, startDaemon } from '../../daemon/supervisor/daemon.ts'
import { refuseKeysInEnvironment } from '../../daemon/vault/plaintext.ts'
import { printJson, type Register } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { secretsOf } from '../secrets.ts'

export const daemon: Register = (program, act) =>
  program
    .command('daemon')
    .description('run the gateway in the foreground (as root)')
    .action(
      act(async (options) => {
        const { config: file, json } = options
        refuseKeysInEnvironment(process.env)
        const config = loadConfig(file)
        let running: Daemon | undefined
        // While it starts, it reads the policy anyway; unheard, the signal would end it.
        process.on('SIGHUP', () => void running?.reload())
        running = await startDaemon(config, secretsOf(options))
        if (json) printJson({ state: 'running', pid: process.pid })
        const hurry = new AbortController()
        const reason = await new Promise<string>((resolve) => {
          for (const signal of ['SIGTERM', 'SIGINT'] as const) {
            process.once(signal, () => {
              resolve(signal)
              // Whoever asks twice doesn't want to wait.
              process.on(signal, () => hurry.abort())
            })
          }
        })
        await running.stop(reason, hurry.signal)
        return ExitCode.healthy
      }),
    )
