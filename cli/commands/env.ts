/** `agent-anchor env`: the variables by which clients trust the gateway, for a shell, a container or an image. */
import { readFile } from 'node:fs/promises'
import { Option } from 'commander'
import { type ClientVariable, clientEnvironment } from '../../ca/client-environment.ts'
import { containerEnvironment } from '../../ca/container-environment.ts'
import { mergeVariables } from '../../ca/environment-sinks/assignments.ts'
import { systemBundlePath } from '../../ca/system-roots.ts'
import { loadConfig } from '../../daemon/config/config.ts'
import { layout } from '../../daemon/supervisor/layout.ts'
import { NoAuthority } from '../cli-error.ts'
import { print, printJson, type Register } from '../command.ts'
import { dockerfileText, dockerText, fishText, IMAGE_FILES, shText } from '../environment-text.ts'
import { ExitCode } from '../exit-code.ts'
import { printable } from '../terminal.ts'

export const env: Register = (program, act) =>
  program
    .command('env')
    .description('the variables by which clients trust the gateway: eval "$(agent-anchor env)"')
    .addOption(
      new Option(
        '--format <format>',
        'for a shell (sh, fish), as arguments of docker run, or as lines of a Dockerfile',
      )
        .choices(['sh', 'fish', 'docker', 'dockerfile'])
        .default('sh'),
    )
    .action(
      act(async ({ config: file, json, ...rest }) => {
        const { format } = rest as { format?: string }
        const certificateFile = layout(loadConfig(file)).caCertificate
        const certificate = await readFile(certificateFile, 'utf8').catch((error: unknown) => {
          throw new NoAuthority(certificateFile, error)
        })
        const files = { certificateFile, bundleFile: systemBundlePath() }
        const { variables, kept } = hereAndNow(clientEnvironment(files))
        const container = containerEnvironment(files)
        if (json) printJson({ variables, kept, container })
        else if (format === 'docker') print(dockerText(container.mounts, container.variables))
        else if (format === 'dockerfile') print(dockerfileText(certificate, clientEnvironment(IMAGE_FILES)))
        else {
          print(format === 'fish' ? fishText(variables) : shText(variables))
          for (const { name, theirs, remedy } of kept)
            process.stderr.write(`agent-anchor: ${name} stays ${printable(theirs)}: ${printable(remedy)}\n`)
        }
        return ExitCode.healthy
      }),
    )

/** Without those that this very environment sets to something else: these stay, and why that matters is said. */
function hereAndNow(all: readonly ClientVariable[]) {
  const { kept } = mergeVariables(all, new Map(Object.entries(process.env as Record<string, string>)))
  return { variables: all.filter(({ name }) => !kept.some((theirs) => theirs.name === name)), kept }
}
