/** What draws each pane, and its title. */
import type { PaneContent, PaneInput, PaneName } from '../pane.js';
import { branchesPane } from './branches.js';
import { breakpointsPane } from './breakpoints.js';
import { codePane } from './code.js';
import { failuresPane } from './failures.js';
import { outputPane } from './output.js';
import { processorPane } from './processor.js';
import { registersPane } from './registers.js';
import { sourcePane } from './source.js';
import { stackPane } from './stack.js';
import { timelinePane } from './timeline.js';

export const CONTENT: Readonly<Record<PaneName, (input: PaneInput) => PaneContent>> = {
  source: sourcePane,
  code: codePane,
  registers: registersPane,
  processor: processorPane,
  stack: stackPane,
  timeline: timelinePane,
  branches: branchesPane,
  failures: failuresPane,
  output: outputPane,
  breakpoints: breakpointsPane,
};
