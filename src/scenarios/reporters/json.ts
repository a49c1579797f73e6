/** The run of a suite as one JSON object. */
import { stripVTControlCharacters } from 'node:util';
import { failureToJson } from '../../report/json.js';
import { countsOf, type Ran, type Reporter } from './reporter.js';

export function jsonReporter(): Reporter {
  return {
    end: ({ ran, left, seconds }) => {
      const { right, wrong, skipped } = countsOf(ran);
      const object = {
        passed: right,
        failed: wrong,
        ...(skipped > 0 ? { skipped } : {}),
        ...(left > 0 ? { notRun: left } : {}),
        seconds: rounded(seconds),
        cases: ran.map(caseToJson),
      };
      return `${JSON.stringify(object, null, 2)}\n`;
    },
  };
}

function caseToJson({ case: one, outcome }: Ran): object {
  const { name, title, status, problems, report, saved, result, cached, seconds } = outcome;
  return {
    name,
    title,
    status,
    ...(one
      ? {
          races: one.scenario.races,
          ...(one.scenario.source === undefined ? {} : { source: one.scenario.source }),
          platform: one.scenario.platform,
          profile: one.profile,
          context: one.context,
          ...(one.features === undefined ? {} : { features: one.features }),
          ...(one.scenario.bound ? { bound: one.scenario.bound } : {}),
          ...(one.scenario.unfixable === undefined ? {} : { knownUnfixable: one.scenario.unfixable }),
        }
      : {}),
    seconds: rounded(seconds),
    cached,
    ...(problems.length > 0 ? { problems } : {}),
    ...(report === undefined ? {} : { report: stripVTControlCharacters(report) }),
    ...(saved.length > 0 ? { saved } : {}),
    ...(result
      ? {
          verdict: result.verdict,
          states: result.states,
          transitions: result.transitions,
          ...(result.stopped === undefined ? {} : { stopped: result.stopped }),
          failures: result.failures.map(failureToJson),
        }
      : {}),
  };
}

function rounded(seconds: number): number {
  return Math.round(seconds * 1000) / 1000;
}
