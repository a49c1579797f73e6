/** The result of a search as one JSON object. */
import type { Failure, SearchResult } from '../explore/result.js';
import type { Subject } from '../platforms/subject.js';
import { hex } from '../properties/describe.js';
import type { Heading } from './text.js';

export function toJson(heading: Heading, { image, assemblers }: Subject, result: SearchResult): object {
  return {
    verdict: result.verdict,
    image: image.hash,
    files: heading.files,
    ...(assemblers.length > 0 ? { assembler: assemblers.join(', ') } : {}),
    platform: heading.platform,
    profile: heading.profile,
    ...(heading.knobs && Object.keys(heading.knobs).length > 0 ? { knobs: heading.knobs } : {}),
    context: heading.context,
    bound: heading.bound,
    ...(heading.places.length > 0 ? { places: heading.places } : {}),
    ...(heading.properties ? { properties: heading.properties } : {}),
    states: result.states,
    transitions: result.transitions,
    seconds: Math.round(result.seconds * 1000) / 1000,
    ...(result.stopped === undefined ? {} : { stopped: result.stopped, covered: result.covered }),
    failures: result.failures.map(failureToJson),
  };
}

export function failureToJson(failure: Failure): object {
  return {
    property: failure.property,
    boundary: failure.boundary,
    address: hex(failure.address),
    event: failure.event,
    path: failure.path.map(({ boundary, hit, event }) => ({ boundary, hit, event })),
  };
}
