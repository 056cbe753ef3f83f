/** `agent-anchor demo`: the whole gateway in namespaces of its own, in under a minute; this machine is not touched. */
import { print, printJson, type Register } from '../command.ts'
import { ExitCode } from '../exit-code.ts'

export const demo: Register = (program, act) =>
  program
    .command('demo')
    .description('show capture, refusal, recovery and proof in private namespaces (as root)')
    .action(
      act(async ({ json }) => {
        // Loaded here: no other command needs the laboratory.
        const { enterLab } = await import('../../test/lab/enter.ts')
        await enterLab(new URL('../main.ts', import.meta.url).href)
        const { runDemo } = await import('../demo/demo.ts')
        const began = performance.now()
        const results = await runDemo((line) => {
          if (!json) print(line)
        })
        const seconds = Number(((performance.now() - began) / 1000).toFixed(1))
        const failed = results.filter(({ ok }) => !ok).length
        if (json) printJson({ seconds, failed, steps: results })
        else print(failed === 0 ? `\nAll of it held, in ${seconds} s.` : `\n${failed} step(s) FAILED.`)
        return failed === 0 ? ExitCode.healthy : ExitCode.error
      }),
    )
