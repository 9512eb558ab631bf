/** Text that changes with the clock: a tick writes the text node, and draws nothing anew. */
import { createContext } from 'preact';
import { useContext, useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { everySecond } from '../clock';

/** The service's clock as a workload sees it: it stands still when what is shown is old. */
export interface Clock {
  read(): number;
  live: boolean;
}

export const ClockContext = createContext<Clock>({ read: () => Date.now() / 1000, live: true });

/** For what goes on while a workload's own clock stands still. */
export const REAL: Clock = { read: () => Date.now() / 1000, live: true };

interface Props {
  /** What to show at a service time. */
  text: (now: number) => string;
  /** It changes with the time. */
  runs?: boolean;
}

export function Tick({ text, runs = true }: Props) {
  const clock = useContext(ClockContext);
  const box = useRef<HTMLSpanElement>(null);
  const latest = useRef({ text, clock });
  latest.current = { text, clock };
  const write = (): void => {
    const node = box.current?.firstChild;
    const now = latest.current.text(latest.current.clock.read());
    if (node instanceof Text && node.data !== now) node.data = now;
  };
  useLayoutEffect(write); // what was drawn may be what a tick has written over since
  useEffect(() => (runs && clock.live ? everySecond(write) : undefined), [runs, clock.live]);
  return <span ref={box}>{text(clock.read()) || '\u200b'}</span>;
}
