/** A real Chromium of an agent's: headless, with a profile of its own, trusting what the user's NSS database holds. */
import type { Lab } from './lab.ts'
import { LabError } from './lab-error.ts'

export interface Page {
  /** The document as the browser has it. */
  readonly document: string
  readonly stderr: string
  /** From the start of the program to its end. */
  readonly milliseconds: number
}

const LOAD_MS = 30_000

/**
 * Loads a page and gives its document.
 * @param trusted files of certificates (PEM) to trust
 * @throws LabError `program-missing` where chromium or certutil isn't installed
 */
export async function browse(
  lab: Lab,
  user: string,
  url: string,
  trusted: readonly string[],
  options: readonly string[] = [],
): Promise<Page> {
  await trust(lab, user, trusted)
  const began = performance.now()
  const { stdout, stderr } = await lab.run(
    user,
    [
      ...['chromium', '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
      ...[
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
      ...['--user-data-dir=chromium', '--dump-dom', ...options, url],
    ],
    { timeoutMs: LOAD_MS },
  )
  return { document: stdout, stderr, milliseconds: Math.round(performance.now() - began) }
}

/** NSS's database in the user's home, which Chromium reads on Linux beside its own roots. */
async function trust(lab: Lab, user: string, files: readonly string[]): Promise<void> {
  const database = '.pki/nssdb'
  const commands = [
    ['/bin/mkdir', '-p', database],
    ['certutil', '-d', `sql:${database}`, '-N', '--empty-password'],
    ...files.map((file) => ['certutil', '-d', `sql:${database}`, '-A', '-t', 'C,,', '-n', file, '-i', file]),
  ]
  for (const argv of commands) {
    const { code, stderr } = await lab.run(user, argv)
    if (code !== 0) {
      throw new LabError('program-missing', `${argv.join(' ')}: ${stderr}`, 'apt-get install libnss3-tools')
    }
  }
}
