/** A search of the editor's text: in a thread, with progress, to be stopped at any time; and its map. */
import { describePlaces, parseBound, parsePlaces, printBound } from '../explore/bound.js';
import type { ScheduledEvent, SearchResult } from '../explore/result.js';
import { ScheduleGraph } from '../explore/schedule_graph.js';
import type { ScheduleRecord } from '../explore/schedule_recorder.js';
import { type RunningSearch, startSearch } from '../explore/threads.js';
import type { Subject } from '../platforms/subject.js';
import type { Profile } from '../profiles/profile.js';
import { PROPERTIES, selectProperties } from '../properties/index.js';
import { verdictReport } from '../report/search_report.js';
import { type Heading, windows } from '../report/text.js';
import { axisOf, failureOf, mapOf, noAxis } from './map.js';
import type { CellRequest, Settings } from './messages.js';
import type { AxisView, ProgressView, SearchView } from './protocol.js';

/** Bytes of visited states: as for explore. */
const MAX_MEMORY = 4096 * 2 ** 20;

/** What the settings ask for; an InputError if it does not go with the subject. */
export function planOf(settings: Settings, { image, platform }: Subject) {
  const bound = parseBound(settings.events);
  const properties = selectProperties(settings.properties.trim() === '' ? undefined : settings.properties);
  const places = parsePlaces(settings.at.split(/\s+/).filter(Boolean), image, platform, bound);
  return { bound, properties, places };
}

export class Search {
  readonly #running: RunningSearch;
  readonly #began = performance.now();
  #view: SearchView;
  #done: { readonly result: SearchResult; readonly record: ScheduleRecord } | undefined;
  #graph: ScheduleGraph | undefined;

  /** Begins the search; throws an InputError for settings that do not go with the subject. `head`: what it is of, for the page. */
  constructor(
    readonly subject: Subject,
    readonly profile: Profile,
    readonly settings: Settings,
    head: { readonly file: string; readonly revision: number },
    onProgress: (progress: ProgressView) => void,
  ) {
    const { bound, properties, places } = planOf(settings, subject);
    const heading: Heading = {
      files: [head.file],
      platform: settings.platform,
      profile: profile.name,
      context: settings.context,
      bound,
      places: describePlaces(places, bound, subject.image),
      properties: properties.length < PROPERTIES.length ? properties.map((p) => p.name) : undefined,
    };
    this.#view = {
      ...head,
      state: 'running',
      progress: null,
      problem: null,
      verdict: null,
      report: '',
      windows: [],
      map: null,
    };
    this.#running = startSearch(
      {
        subject,
        profile,
        properties: properties.map((p) => p.name),
        bound,
        places,
        maxMemory: MAX_MEMORY,
        workers: 1,
        wantSchedules: true,
      },
      ({ states, transitions, failures, done, bound }) => {
        const seconds = (performance.now() - this.#began) / 1000;
        const progress = { states, transitions, failures, done: done ?? null, bound: printBound(bound), seconds };
        this.#view = { ...this.#view, progress };
        onProgress(progress);
      },
    );
    this.result = this.#running.result.then((result) => this.#finish(heading, result));
  }

  /** Rejects with an InputError where the code needs what is not modelled. */
  readonly result: Promise<void>;

  get view(): SearchView {
    return this.#view;
  }

  stop(): void {
    this.#running.interrupt();
  }

  #finish(heading: Heading, result: SearchResult): void {
    const { schedules } = result;
    if (schedules === undefined) throw new Error('the search has kept no schedules');
    this.#done = { result, record: schedules };
    const plain = (_style: string, text: string): string => text;
    const broken = PROPERTIES.filter(({ name }) => result.failures.some((f) => f.property === name));
    this.#view = {
      ...this.#view,
      state: 'done',
      verdict: result.verdict,
      report: verdictReport(heading, this.subject, result, plain),
      windows: broken.map(({ name, sentence }) => ({
        property: name,
        text: windows(
          name,
          sentence,
          result.failures.filter((f) => f.property === name),
          plain,
        ),
      })),
      map: mapOf(this.subject, result, schedules),
    };
  }

  /** The second axis of a cell. */
  axis(cell: CellRequest): AxisView | undefined {
    if (this.#done === undefined) return undefined;
    const { record } = this.#done;
    const last = lastOf(cell);
    const graph = this.#schedules();
    return typeof graph === 'string'
      ? noAxis(this.subject.image, record, last, graph)
      : axisOf(this.subject.image, record, graph, last);
  }

  /** The schedule that is opened for a cell: the reported one of a failure, else the shortest. */
  schedule(cell: CellRequest, through: { address: string; event: string } | undefined): ScheduledEvent[] | undefined {
    if (this.#done === undefined) return undefined;
    const last = lastOf(cell);
    const failure = through === undefined ? failureOf(this.#done.result, last) : undefined;
    if (failure) return [...failure.path];
    const graph = this.#schedules();
    if (typeof graph === 'string') return undefined;
    const earlier = through && { address: BigInt(through.address), event: through.event };
    return graph.shortest(last, earlier, this.subject.image);
  }

  /** All schedules; a text says why there are none. */
  #schedules(): ScheduleGraph | string {
    const { record, result } = this.#done!;
    if (result.stopped !== undefined && result.covered !== undefined) {
      return 'the search was stopped before it was closed: only the shortest schedule of each failure is known';
    }
    if (record.graph === undefined) {
      return 'the search has more states than a page can keep: only the shortest schedule of each failure is known';
    }
    this.#graph ??= new ScheduleGraph(record, record.graph);
    return this.#graph;
  }
}

function lastOf({ address, event, property }: CellRequest) {
  return { address: BigInt(address), event, property };
}
