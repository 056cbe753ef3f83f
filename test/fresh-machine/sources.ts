/** What is installed from in a fresh machine: the bundle's packages with one tree or another, each a bundle again. */
import { ARCHIVE, carryBundle } from './bundle.ts'
import { type FreshDebian, said } from './fresh-debian.ts'

const UNPACKED = '/var/tmp/unpacked'
const BROKEN = '/var/tmp/broken'
const IN_PLACE = '/opt/agent-anchor'
const WORDS = '/var/tmp/words'

export interface Sources {
  /** install.sh of the bundle. */
  readonly install: string
  /** Of the bundle with a daemon that can't start. */
  readonly broken: string
  /** Of the bundle with another README. */
  readonly otherWords: string
  /** Unpacks the bundle where an install would put it, and names its install.sh there. */
  inPlace(): Promise<string>
}

/** Its files are links to the bundle's, and those that `change` writes must be new ones. */
const variant = (path: string, change: string) =>
  `cp -al ${UNPACKED} ${path} && cd ${path}/agent-anchor && ${change} &&
   find . -type f ! -path ./SHA256SUMS -print0 | LC_ALL=C sort -z | xargs -0 sha256sum >/var/tmp/sums && mv /var/tmp/sums SHA256SUMS`

const append = (file: string, text: string) => `{ cat ${file}; echo '${text}'; } >new && mv new ${file}`

export async function unpackSources({ asRoot, inMachine }: FreshDebian): Promise<Sources> {
  carryBundle(inMachine)
  for (const command of [
    `mkdir ${UNPACKED} && tar -xzf ${ARCHIVE} -C ${UNPACKED}`,
    variant(
      BROKEN,
      append(
        'daemon/supervisor/daemon.ts',
        'if (process.argv.includes("daemon")) throw new Error("this version is broken")',
      ),
    ),
    variant(WORDS, append('README.md', 'Other words.')),
  ]) {
    const outcome = await asRoot('sh', '-c', command)
    if (outcome.code !== 0) throw new Error(said(outcome))
  }
  const script = (path: string) => `${path}/agent-anchor/installers/install.sh`
  return {
    install: script(UNPACKED),
    broken: script(BROKEN),
    otherWords: script(WORDS),
    async inPlace() {
      const { code, stderr } = await asRoot('cp', '-a', `${UNPACKED}/agent-anchor`, IN_PLACE)
      if (code !== 0) throw new Error(stderr)
      return `${IN_PLACE}/installers/install.sh`
    },
  }
}
