/** Calls from inside a container. */
import { type Container, startContainer } from '../../lab/containers.ts'
import type { Outcome } from '../../lab/process.ts'

/** A container for the time of some calls. */
export async function within(
  options: Parameters<typeof startContainer>[0],
  act: (container: Container) => Promise<Outcome[]>,
): Promise<Outcome[]> {
  const container = await startContainer(options)
  try {
    return await act(container)
  } finally {
    await container.stop()
  }
}

export async function inside(container: Container, ...commands: string[][]): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  for (const argv of commands) outcomes.push(await container.run(argv))
  return outcomes
}
